"""PrivacyService over gRPC: what people are told of their data, and how long it is kept."""

import re
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from chassis import paging
from chassis.answers import Answers
from chassis.failures import FieldInvalid
from merhaba.profile.v1 import (
    DataCategory as WireDataCategory,
)
from merhaba.profile.v1 import (
    ListDataCategoriesRequest,
    ListDataCategoriesResponse,
    PrivacyServiceServicer,
    UpdateDataCategoryRequest,
    UpdateDataCategoryResponse,
)
from services.profile.person.vocabulary import CONSENT
from services.profile.rights.categories import DataCategory
from services.profile.rights.category_store import CategoryStore

_FIELDS: Final = ("disclosures", "retention_duration", "legal_basis", "purpose")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_LONGEST_TEXT: Final = 20_000
_MOST_TEXTS: Final = 50
_LONGEST: Final = 200
_DAY_MS: Final = 86_400_000

Call = Any  # what grpc knows of a call; the guard has looked at it


class CategoryApi(PrivacyServiceServicer):
    """Categories of personal data."""

    _answers: Answers
    _categories: CategoryStore

    async def ListDataCategories(
        self, request: ListDataCategoriesRequest, context: Call
    ) -> ListDataCategoriesResponse:
        """List categories by name."""
        query, size = paging.query(request), paging.size(request.page_size, most=500)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        known = await self._categories.all()
        names = sorted(name for name in known if name > after)
        page, token = paging.page(query, names, size, lambda name: [name])
        return ListDataCategoriesResponse(
            data_categories=[_view(known[name]) for name in page],
            next_page_token=token,
        )

    async def UpdateDataCategory(
        self, request: UpdateDataCategoryRequest, context: Call
    ) -> UpdateDataCategoryResponse:
        """Change a category."""
        told = request.data_category
        given = {field.name for field, _ in told.ListFields()}
        paths = list(request.update_mask.paths) or [one for one in _FIELDS if one in given]
        for path in paths:
            if path not in _FIELDS:
                raise FieldInvalid(
                    "update_mask", f"{path} cannot be changed; only {', '.join(_FIELDS)} can"
                )
        fields = _changes(told, paths)

        async def respond() -> UpdateDataCategoryResponse:
            changed = await self._categories.update(told.name, fields, told.etag)
            return UpdateDataCategoryResponse(data_category=_view(changed))

        return await self._answers.once(
            request, request.request_id, respond, UpdateDataCategoryResponse
        )


def _changes(told: WireDataCategory, paths: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "disclosures" in paths:
        fields["disclosures"] = _disclosures(dict(told.disclosures))
    if "retention_duration" in paths:
        fields["retention"] = _retention(told.retention_duration)
        if told.name == CONSENT and fields["retention"]:
            raise FieldInvalid(
                "data_category.retention_duration",
                "what people agreed to is proof, and kept as long as the contact",
            )
    for name in ("legal_basis", "purpose"):
        if name in paths:
            fields[name] = getattr(told, name)
            if len(fields[name]) > _LONGEST:
                raise FieldInvalid(f"data_category.{name}", "too long", limit=str(_LONGEST))
    return fields


def _disclosures(texts: dict[str, str]) -> dict[str, str]:
    if len(texts) > _MOST_TEXTS:
        raise FieldInvalid("data_category.disclosures", "too many", limit=str(_MOST_TEXTS))
    for language, text in texts.items():
        if not _LANGUAGE.fullmatch(language):
            raise FieldInvalid("data_category.disclosures", "a key is no language of BCP 47")
        if not 0 < len(text) <= _LONGEST_TEXT:
            raise FieldInvalid(
                f"data_category.disclosures.{language}",
                f"is not 1 to {_LONGEST_TEXT} characters",
                limit=str(_LONGEST_TEXT),
            )
    return texts


def _retention(told: Duration) -> int:
    ms = told.seconds * 1000 + told.nanos // 1_000_000
    if ms and ms < _DAY_MS:
        raise FieldInvalid(
            "data_category.retention_duration", "at least a day; leave it out for no end"
        )
    return ms


def _view(one: DataCategory) -> WireDataCategory:
    view = WireDataCategory(
        name=one.name,
        disclosures=one.disclosures,
        text_version=str(one.text_version),
        legal_basis=one.legal_basis,
        purpose=one.purpose,
        etag=one.etag,
    )
    if one.retention:
        view.retention_duration.FromMilliseconds(one.retention)
    return view
