"""Our copies of the catalogue."""

from services.order.domain.articles import Article, ArticleRepository, Catalogue
from shared.events.rebuilt import Rebuilt, rebuild_from


class CatalogueCopies:
    """Our copies of the catalogue's articles. All raise Unavailable while the repository does."""

    def __init__(self, articles: ArticleRepository) -> None:
        self._articles = articles

    async def keep(self, article: Article) -> bool:
        """Have `article` as our copy, unless ours is newer. Whether anything is different from before."""
        return await self._articles.keep(article)

    async def rebuild(self, catalogue: Catalogue) -> Rebuilt:
        """Compare all copies with `catalogue`, and mend those that are different. Raises Unavailable."""
        return await rebuild_from(catalogue.every_article(), self._articles.keep)
