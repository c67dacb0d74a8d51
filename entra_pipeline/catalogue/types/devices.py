"""Devices, with their registered owners and users."""

from entra_pipeline.catalogue.model import Category, ObjectType, Read, Relation

TYPES = (
    ObjectType(
        name="devices",
        category=Category.DEVICES,
        title="Device",
        path="devices",
        model="device",
        permissions=("Device.Read.All", "Directory.Read.All"),
        delta=True,
        extensible="Device",
        page_size=999,
        count=True,
        identity=("displayName", "deviceId"),
        relations=(
            Relation("device_registered_owners", "registeredOwners", Read.EXPAND),
            Relation("device_registered_users", "registeredUsers", Read.EXPAND),
        ),
    ),
)
