"""What requests about rights can fail with."""

from chassis.failures import NotFound


class ErasureNotFound(NotFound):
    """No erasure was asked for with that id."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "no erasure was asked for with that request_id; look at what EraseContact answered",
            request_id=request_id,
        )


class DataCategoryNotFound(NotFound):
    """There is no such category of data."""

    def __init__(self, name: str) -> None:
        super().__init__("no such category; ListDataCategories tells them", name=name)
