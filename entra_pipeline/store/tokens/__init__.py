"""Records of the tokens that app registrations were given."""

from entra_pipeline.store.tokens.records import FOLDER, TokenRecord, TokenRecords

__all__ = ["FOLDER", "TokenRecord", "TokenRecords"]
