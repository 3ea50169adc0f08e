"""gRPC: the things and places of the business."""

from typing import Any, Final

from chassis import paging
from chassis.failures import BatchTooLarge, FieldInvalid
from merhaba.segment.v1 import (
    BatchGetCatalogItemsRequest,
    BatchGetCatalogItemsResponse,
    CatalogServiceServicer,
    GetPlaceRequest,
    GetPlaceResponse,
    ListCatalogItemsRequest,
    ListCatalogItemsResponse,
    ListPlacesRequest,
    ListPlacesResponse,
)
from services.segment.api import nouns
from services.segment.failures import PlaceNotFound
from services.segment.jobs.things_store import ThingsStore

_MAX_ITEMS: Final = 500
_MAX_LABELS: Final = 100


class CatalogApi(CatalogServiceServicer):
    """Items and places, as ingest was told of them. Meaning and errors: the contract."""

    def __init__(self, things: ThingsStore) -> None:
        self._things = things

    async def BatchGetCatalogItems(
        self, request: BatchGetCatalogItemsRequest, context: Any
    ) -> BatchGetCatalogItemsResponse:
        """Returns items, in the order of the request."""
        _named(request.catalog_id)
        if not request.item_ids:
            raise FieldInvalid("item_ids", f"missing; name 1 to {_MAX_ITEMS} items")
        if len(request.item_ids) > _MAX_ITEMS:
            raise BatchTooLarge("item_ids", _MAX_ITEMS, len(request.item_ids))
        found = await self._things.items(request.catalog_id, request.item_ids)
        return BatchGetCatalogItemsResponse(
            items=[nouns.catalog_item(found[one]) for one in request.item_ids if one in found]
        )

    async def ListCatalogItems(
        self, request: ListCatalogItemsRequest, context: Any
    ) -> ListCatalogItemsResponse:
        """Lists a catalogue's items, by id."""
        _named(request.catalog_id)
        query, size = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._things.list_items(request.catalog_id, request.category, after, size + 1)
        page, token = paging.page(query, found, size, lambda one: [one.item_id])
        return ListCatalogItemsResponse(
            items=[nouns.catalog_item(one) for one in page],
            next_page_token=token,
        )

    async def GetPlace(self, request: GetPlaceRequest, context: Any) -> GetPlaceResponse:
        """Returns one place."""
        found = await self._things.place(request.place_id)
        if found is None:
            raise PlaceNotFound(request.place_id)
        return GetPlaceResponse(place=nouns.place(found))

    async def ListPlaces(self, request: ListPlacesRequest, context: Any) -> ListPlacesResponse:
        """Lists places, by id."""
        if len(request.labels) > _MAX_LABELS:
            raise FieldInvalid("labels", f"are more than {_MAX_LABELS}", limit=str(_MAX_LABELS))
        query, size = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._things.list_places(request.labels, after, size + 1)
        page, token = paging.page(query, found, size, lambda one: [one.place_id])
        return ListPlacesResponse(
            places=[nouns.place(one) for one in page],
            next_page_token=token,
        )


def _named(catalog_id: str) -> None:
    if not catalog_id:
        raise FieldInvalid("catalog_id", "missing; name a catalogue")
