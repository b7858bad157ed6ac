"""`POST /tokens`, `GET /tokens` and `DELETE /tokens/{id}`, for administrators."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from catalog_api.domain.access import TOKEN_ID_PATTERN
from catalog_api.entrypoints.http import examples
from catalog_api.entrypoints.http.access import TOKENS
from catalog_api.entrypoints.http.answers import created_token_response, json_response
from catalog_api.entrypoints.http.bodies import read_json, validated
from catalog_api.entrypoints.http.openapi import json_body, problem_responses
from catalog_api.entrypoints.http.token_schemas import CreatedTokenOutput, TokenInput, TokenList
from catalog_api.use_cases.manage_tokens import ManageTokens
from http_api import RequestRefusedError

TokenId = Annotated[str, Path(pattern=f"^{TOKEN_ID_PATTERN}$", description="The part of a token after `agg_`.")]
_MANAGED_ELSEWHERE: Final = "Access is off (API_AUTH=off): tokens are managed by the command `catalog-api tokens`."


def add_token_routes(router: APIRouter, tokens: ManageTokens, *, access_required: bool) -> None:
    """Add the routes. They refuse everyone while access is off: anyone could become an administrator for later."""
    common: dict[str, Any] = {
        "tags": ["tokens"],
        "dependencies": [] if access_required else [Depends(_refuse_everyone)],
    }

    @router.post(
        TOKENS,
        status_code=201,
        response_model=CreatedTokenOutput,
        responses=problem_responses(400, 403, 408, 413, 415, 422),
        openapi_extra=json_body(TokenInput, examples.TOKEN_INPUT),
        summary="Create an access token",
        operation_id="create_token",
        **common,
    )
    async def create_token(request: Request) -> Response:
        """The answer shows the token, and nothing ever shows it again."""
        wanted = validated(TokenInput, await read_json(request))
        return created_token_response(await tokens.create(wanted.name, wanted.scopes, wanted.expires_at))

    @router.get(
        TOKENS,
        response_model=TokenList,
        responses=problem_responses(403, 422),
        summary="List the access tokens",
        operation_id="list_tokens",
        **common,
    )
    async def list_tokens() -> Response:
        """All there ever were, oldest first."""
        return json_response({"items": await tokens.everyone()})

    @router.delete(
        f"{TOKENS}/{{token_id}}",
        status_code=204,
        responses=problem_responses(403, 404, 422),
        summary="Revoke an access token",
        operation_id="revoke_token",
        **common,
    )
    async def revoke_token(token_id: TokenId) -> Response:
        """Effective within seconds (`ACCESS_CACHE_SECONDS`), for good. The token stays in the list."""
        await tokens.revoke(token_id)
        return Response(status_code=204)


async def _refuse_everyone() -> None:
    raise RequestRefusedError(403, _MANAGED_ELSEWHERE)
