"""What is published stays as it is: each way of breaking the contract is found, by its name, and nothing is written."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, create_model

from aggregator_contracts import EVENT_CLASSES, Event, OffersUpdated, ProductDeleted
from aggregator_contracts.compatibility import breaking_changes
from aggregator_contracts.schemas import CONTRACTS, Contract, schema_of

NAME = f"{ProductDeleted.TYPE}.json"


class PublishedData(BaseModel):
    """What `ProductDeleted` carries."""

    product_id: UUID
    version: Annotated[int, Field(ge=1, le=2**63 - 1)]


def instead(data: type[BaseModel]) -> tuple[type[Event], ...]:
    """The contract's classes, with another `ProductDeleted`."""

    changed = create_model("ProductDeleted", __base__=ProductDeleted, data=(data, ...))
    return tuple(changed if event_class is ProductDeleted else event_class for event_class in EVENT_CLASSES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the contract's files, to be damaged."""
    copy = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def changes() -> Any:
    """How `breaking_changes` sees a change of the data of `ProductDeleted`."""

    def of(data: type[BaseModel]) -> list[str]:
        before, after = (
            next(schema_of(c) for c in classes if c.TYPE == ProductDeleted.TYPE)
            for classes in (instead(PublishedData), instead(data))
        )
        return list(breaking_changes(before, after))

    return of


def test_the_contract_as_it_is_has_no_problems() -> None:
    assert list(Contract().problems()) == []


def test_an_optional_field_may_be_added_and_words_may_change(changes: Any) -> None:
    class Reworded(PublishedData):
        """Says the same in other words."""

        version: Annotated[int, Field(ge=1, le=2**63 - 1, title="Edition", description="Grows.", examples=[3])]
        reason: str | None = None

    assert changes(Reworded) == []


def test_a_field_that_is_named_like_a_word_is_a_field(changes: Any) -> None:
    class Titled(PublishedData):
        title: str

    assert changes(Titled) == ["event.data.title: is required now"]


def without_version() -> type[BaseModel]:
    class Data(BaseModel):
        product_id: UUID

    return Data


def version_as(annotation: Any, **default: Any) -> type[BaseModel]:
    class Data(PublishedData):
        version: annotation = Field(**default)

    return Data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (without_version(), "event.data.version: was removed"),
        (version_as(str), "event.data.version (type): 'integer' became 'string'"),
        (version_as(int, ge=0, le=2**63 - 1), "event.data.version (minimum): 1 became 0"),
        (version_as(int, ge=2, le=2**63 - 1), "event.data.version (minimum): 1 became 2"),
        (version_as(int, ge=1), f"event.data.version (maximum): {2**63 - 1} was dropped"),
        (version_as(int, ge=1, le=2**63 - 1, multiple_of=2), "event.data.version (multipleOf): 2 was added"),
        (version_as(int, ge=1, le=2**63 - 1, default=1), "event.data.version: is optional now"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_other_change_breaks(changes: Any, data: type[BaseModel], said: str) -> None:
    assert said in changes(data)


def test_a_change_behind_a_reference_breaks() -> None:
    before, after = schema_of(OffersUpdated), schema_of(OffersUpdated)
    del after["$defs"]["Offer"]["properties"]["id"]["maxLength"]
    assert list(breaking_changes(before, after)) == [
        "event.data.updates[].offers[].id (maxLength): 200 was dropped",
    ]


def test_a_format_that_is_dropped_breaks() -> None:
    before, after = schema_of(ProductDeleted), schema_of(ProductDeleted)
    del after["properties"]["time"]["format"]
    assert list(breaking_changes(before, after)) == ["event.time (format): 'date-time' was dropped"]


def test_a_breaking_change_is_refused_with_what_to_do(folder: Path) -> None:
    (refusal, *others) = Contract(folder, instead(without_version())).refusals()
    assert others == []
    assert refusal.startswith(f"schemas/{NAME} is published, and event.data.version: was removed; ")
    assert refusal.endswith("put a class of the next version (.v2) beside it")


def test_what_is_added_is_written_and_stays(folder: Path) -> None:
    class Longer(PublishedData):
        reason: str | None = None

    longer = Contract(folder, instead(Longer))
    assert f"schemas/{NAME} is out of date: run `make schemas`" in list(longer.problems())
    assert list(longer.refusals()) == []
    longer.write()
    assert list(longer.problems()) == [], "also the example, which lacks it, is as good as before"
    (refusal,) = Contract(folder, instead(PublishedData)).refusals()
    assert "event.data.reason: was removed" in refusal


def test_a_published_schema_can_neither_be_edited_nor_lost(folder: Path) -> None:
    contract = Contract(folder)
    schema = folder / "schemas" / NAME
    schema.write_text(schema.read_text().replace('"minimum": 1', '"minimum": 0'))
    expected = f"schemas/{NAME} was published and has changed since: restore it, from version control"
    assert list(contract.refusals()) == [expected]
    schema.unlink()
    assert list(contract.refusals()) == [expected]


def test_a_published_event_keeps_its_class(folder: Path) -> None:
    classes = tuple(event_class for event_class in EVENT_CLASSES if event_class is not ProductDeleted)
    problems = list(Contract(folder, classes).problems())
    assert f"schemas/{NAME} was published and no class has its type any more: keep the class" in problems


@pytest.mark.parametrize("kind", ["schemas", "examples"])
def test_an_orphan_and_a_missing_file_are_found(folder: Path, kind: str) -> None:
    (folder / kind / NAME).rename(folder / kind / "catalog.product-forgotten.v1.json")
    problems = list(Contract(folder).problems())
    assert f"{kind}/catalog.product-forgotten.v1.json belongs to no event" in problems
    assert f"{kind}/{NAME} is missing" in problems


def example(**changes: Any) -> str:
    return json.dumps(json.loads((CONTRACTS / "examples" / NAME).read_bytes()) | changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (example(subject="nobody"), "violates its schema: $.subject 'nobody' is not a 'uuid'"),
        (example(subject="nobody"), "is no ProductDeleted: subject: "),
        # Valid to the schema, whose `date-time` nobody checks here, and not to the class.
        (example(time="yesterday"), "is no ProductDeleted: time: "),
        (example(added=True), "does not come back the same from ProductDeleted"),
        ("{", "is no JSON"),
    ],
)
def test_an_example_is_valid_to_its_schema_and_to_its_class(folder: Path, text: str, said: str) -> None:
    (folder / "examples" / NAME).write_text(text)
    assert any(problem.startswith(f"examples/{NAME} {said}") for problem in Contract(folder).problems())


def test_an_example_of_another_event_is_found(folder: Path) -> None:
    shutil.copy(folder / "examples" / f"{OffersUpdated.TYPE}.json", folder / "examples" / NAME)
    problems = list(Contract(folder).problems())
    assert f"examples/{NAME} violates its schema: $.type '{ProductDeleted.TYPE}' was expected" in problems
    assert f"examples/{NAME} is no ProductDeleted: type: Input should be '{ProductDeleted.TYPE}'" in problems


@pytest.mark.parametrize("name", ["asyncapi.yaml", "src/aggregator_contracts/asyncapi.json", "schemas.sha256"])
def test_a_generated_file_is_not_edited(folder: Path, name: str) -> None:
    (folder / name).write_text((folder / name).read_text().replace("offers-updated", "offers-changed", 1))
    assert f"{name} is out of date: run `make schemas`" in list(Contract(folder).problems())
