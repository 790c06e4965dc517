"""What every answer says that nobody may keep: those with tokens, and those about one's own account."""

NO_STORE = ("Cache-Control", "no-store")  # RFC 6749 section 5.1
