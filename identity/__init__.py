"""Who says what about whom: DIDs, SD-JWT credentials, presentations, status lists and trusted issuers."""
