"""What a product, an offer and a search are, free of databases, brokers and HTTP."""
