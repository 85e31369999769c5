"""Search, recommendations, neighbourhoods and a map over HTTP."""
