"""Which of its two forms a client wants the history in."""


def prefers_csv(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) names `text/csv`, and `application/json` not with more weight."""
    weights: dict[str, float] = {}
    for choice in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in choice.split(";"))
        weights[media_type] = next((_weight(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    csv = weights.get("text/csv", 0.0)
    return csv > 0 and csv >= weights.get("application/json", 0.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
