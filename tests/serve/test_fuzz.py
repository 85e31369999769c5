"""Whatever is asked, the server answers as its description says, and never with 5xx."""

from __future__ import annotations

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def fuzz(workspace, mode: GenerationMode, examples: int) -> dict[str, int]:
    """Number of requests per operation."""
    app = make_app(Sources(workspace.run, workspace.graph, workspace.store), reload_seconds=0)
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    with asgi.get_client(app) as session:
        return ask_all(schema, session, mode, examples)


def ask_all(schema, session, mode: GenerationMode, examples: int) -> dict[str, int]:
    done: dict[str, int] = {}

    def check(case) -> None:
        if sum(done.values()) % 2:  # a node that is there, or nothing but 404 would be seen
            for name in ("id", "like"):
                if name in (case.query or {}):
                    case.query[name] = "n0003"
            if isinstance(case.body, dict) and "history" in case.body:
                case.body["history"] = ["n0003", "n0001"]
        reply = case.call(session=session)
        case.validate_response(reply, checks=CHECKS)
        done[case.operation.label] = done.get(case.operation.label, 0) + 1
        if reply.status_code >= 400:
            error = reply.json()["error"]
            assert isinstance(error, str)
            assert "\n" not in error
            assert "/tmp" not in error

    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body or operation.path_parameters):
            continue
        run = given(operation.as_strategy(generation_mode=mode))(check)
        run = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )(run)
        with suppress(Unsatisfiable):  # there may be no wrong way to ask
            run()
    return done


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_anything_is_answered(workspace, mode) -> None:
    done = fuzz(workspace, mode, 8)
    assert len(done) >= 7
    assert sum(done.values()) > 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_anything_is_answered_ten_thousand_times(workspace, mode) -> None:
    assert sum(fuzz(workspace, mode, 700).values()) > 4_500
