"""What can be done with the catalogue. Each write reads as: find, decide, record."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.product.domain import (
    Product,
    ProductChange,
    ProductDetails,
    ProductRepository,
    create_product,
    fields,
    search_key,
)
from shared.errors import NotFound
from shared.ids import new_id
from shared.paging import Page, page_of
from shared.rules import Rule, check
from shared.versions import VersionTest, any_version, require_version


class ProductService:
    """The use cases. Besides what each says, all raise Unavailable while the repository does."""

    def __init__(self, repository: ProductRepository, rules: Mapping[str, Rule]) -> None:
        self._repository = repository
        self._rules = rules

    async def browse(self, search: str = "", after: UUID | None = None, limit: int = 20) -> Page[Product]:
        """Products on offer, newest first, whose name or description contains `search`, whatever its case."""
        found = await self._repository.page(search_key(search.strip()), after, limit + 1)
        return page_of(found, limit, lambda product: product.product_id)

    async def get(self, product_id: UUID) -> Product:
        """The product, archived or not. Raises NotFound."""
        return _existing(await self._repository.get(product_id))

    async def get_all(self, product_ids: Sequence[UUID]) -> list[Product]:
        """Those of `product_ids` that there are, archived or not."""
        return await self._repository.get_all(product_ids)

    async def go_through(self, after: UUID | None = None, limit: int = 100) -> Page[Product]:
        """All products, archived or not, oldest first."""
        found = await self._repository.page_of_all(after, limit + 1)
        return page_of(found, limit, lambda product: product.product_id)

    async def create(self, details: ProductDetails, product_id: UUID | None = None) -> Product:
        """A new product. Raises Invalid; Conflict when `product_id` is given and taken."""
        check(fields(details), self._rules)
        created = create_product(product_id or new_id(), details)
        await self._repository.record(created)
        return created.product

    async def change(
        self, product_id: UUID, change: ProductChange, is_expected: VersionTest = any_version
    ) -> Product:
        """The changed product; its version is the old one when nothing is different.

        Raises Invalid, NotFound, PreconditionFailed when the version is not expected, Conflict when archived.
        """
        check(fields(change), self._rules)
        async with self._repository.unit_of_work():
            product = _existing(await self._repository.hold(product_id))
            require_version("The product", product.version, is_expected)
            changed = product.changed(change)
            if changed is None:
                return product
            await self._repository.record(changed)
            return changed.product

    async def archive(self, product_id: UUID, is_expected: VersionTest = any_version) -> None:
        """Take the product off the offer; it stays readable. Raises NotFound, PreconditionFailed.

        Whoever asks again, perhaps because the first answer was lost, has got what they want.
        """
        async with self._repository.unit_of_work():
            product = _existing(await self._repository.hold(product_id))
            archived = product.archive()
            if archived is None:
                return
            require_version("The product", product.version, is_expected)
            await self._repository.record(archived)


def _existing(product: Product | None) -> Product:
    if product is None:
        raise NotFound("There is no such product.")
    return product
