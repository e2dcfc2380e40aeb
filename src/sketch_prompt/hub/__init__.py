"""The Hub: cards and facts of what is published, uploads, and how transformers finds its way back here."""
