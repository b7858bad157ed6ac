"""The Offers microservice, over HTTP."""
