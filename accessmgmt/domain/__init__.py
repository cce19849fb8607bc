"""Pure Python rules of the product: no Django, no database, no network."""
