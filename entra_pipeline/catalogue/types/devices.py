"""Devices with their registered owners and users, and what is known of their recovery secrets."""

from entra_pipeline.catalogue.model import Category, ObjectType, Read, Relation, kept
from entra_pipeline.catalogue.types.open_extensions import open_extensions

TYPES = (
    ObjectType(
        name="devices",
        category=Category.DEVICES,
        title="Device",
        path="devices",
        model="device",
        permissions=("Device.Read.All", "Directory.Read.All"),
        restore=kept("a device is restored by joining again; a few properties of a live device can be patched"),
        delta=True,
        not_listable={
            "isManagementRestricted": "shown only when asked for by name; follows from the administrative units"
        },
        extensible="Device",
        page_size=999,
        identity=("displayName", "deviceId"),
        relations=(
            Relation("device_registered_owners", "registeredOwners", Read.EXPAND),
            Relation("device_registered_users", "registeredUsers", Read.EXPAND),
        ),
    ),
    open_extensions("devices", "device", Category.DEVICES, "Device.Read.All"),
    ObjectType(
        name="bitlocker_recovery_keys",
        category=Category.DEVICES,
        title="BitLocker recovery key",
        path="informationProtection/bitlocker/recoveryKeys",
        model="bitlocker_recovery_key",
        permissions=("BitlockerKey.ReadBasic.All", "BitlockerKey.Read.All"),
        restore=kept("keys are escrowed by devices"),
        secret="key",  # noqa: S106 - the name of a property
        identity=("id",),
    ),
    ObjectType(
        name="device_local_credentials",
        category=Category.DEVICES,
        title="Local administrator password (Windows LAPS)",
        irregular_plural="Local administrator passwords (Windows LAPS)",
        path="directory/deviceLocalCredentials",
        model="device_local_credential_info",
        permissions=("DeviceLocalCredential.ReadBasic.All", "DeviceLocalCredential.Read.All"),
        restore=kept("passwords are escrowed by devices"),
        identity=("deviceName",),
    ),
)
