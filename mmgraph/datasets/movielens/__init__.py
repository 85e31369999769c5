"""MovieLens 100K: users, movies and what they liked, from the example data inside the RecBole wheel."""
