"""What it takes to share something on the Hub: cards, facts for them, uploads."""
