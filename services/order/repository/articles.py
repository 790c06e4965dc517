"""Our copies of the catalogue's articles in PostgreSQL."""

from services.order.domain.articles import Article
from shared.db.database import Database
from shared.db.statements import execute

# Events and snapshots may come in any order, and each any number of times.
_KEEP_ARTICLE = """
    INSERT INTO articles (product_id, name, amount, currency, archived, version)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (product_id) DO UPDATE
    SET (name, amount, currency, archived, version, changed_at)
      = (excluded.name, excluded.amount, excluded.currency, excluded.archived, excluded.version, now())
    WHERE articles.version <= excluded.version
      AND (articles.name, articles.amount, articles.currency, articles.archived, articles.version)
        IS DISTINCT FROM
          (excluded.name, excluded.amount, excluded.currency, excluded.archived, excluded.version)"""


class PostgresArticleRepository:
    """The domain's ArticleRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, article: Article) -> bool:
        """In one statement, so that of several that come at once the newest stays."""
        price = (article.price.amount, article.price.currency)
        values = [article.product_id, article.name, *price, article.archived, article.version]
        return await execute(self._database, _KEEP_ARTICLE, values) == 1
