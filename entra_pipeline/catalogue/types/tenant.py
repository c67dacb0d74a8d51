"""The tenant itself: organization, domains, subscriptions."""

from entra_pipeline.catalogue.model import Category, ObjectType

TYPES = (
    ObjectType(
        name="organization",
        category=Category.TENANT,
        title="Organization",
        path="organization",
        model="organization",
        permissions=("Organization.Read.All", "Directory.Read.All"),
        extensible="Organization",
    ),
    ObjectType(
        name="domains",
        category=Category.TENANT,
        title="Domain",
        path="domains",
        model="domain",
        permissions=("Domain.Read.All", "Directory.Read.All"),
        identity=("id",),
    ),
    ObjectType(
        name="subscribed_skus",
        category=Category.TENANT,
        title="Subscribed SKU",
        path="subscribedSkus",
        model="subscribed_sku",
        permissions=("LicenseAssignment.Read.All", "Organization.Read.All", "Directory.Read.All"),
        identity=("skuPartNumber",),
    ),
)
