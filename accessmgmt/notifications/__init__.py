"""Channels that tell people what happened. Empty until e-mail and webhooks arrive."""
