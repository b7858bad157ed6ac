"""All that the HTTP API can ask for."""

from dataclasses import dataclass

from catalog_api.clients.price_history import PriceHistory
from catalog_api.db.product_reads import ProductReads
from catalog_api.use_cases.answer_once import AnswerOnce
from catalog_api.use_cases.change_product import ChangeProduct, DeleteProduct
from catalog_api.use_cases.create_products import CreateProducts
from catalog_api.use_cases.dry_run_alert import DryRunAlert
from catalog_api.use_cases.follow_events import FollowEvents
from catalog_api.use_cases.manage_alerts import ManageAlerts
from catalog_api.use_cases.manage_tokens import ManageTokens
from catalog_api.use_cases.manage_webhooks import ManageWebhooks


@dataclass(frozen=True, slots=True)
class Catalog:
    """The use cases and reads, put together by `bootstrap`."""

    read: ProductReads
    create: CreateProducts
    once: AnswerOnce
    change: ChangeProduct
    delete: DeleteProduct
    price_history: PriceHistory
    tokens: ManageTokens
    webhooks: ManageWebhooks
    alerts: ManageAlerts
    dry_run_alert: DryRunAlert
    follow: FollowEvents
