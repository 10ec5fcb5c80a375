"""The language of a document, by the real model and by what the document says."""

from typing import Any

import pytest

from service.ingest.documents import Document
from workers.inference.document_language import language_of

TEXTS = {
    "en": "Raise the temperature slowly, so that moisture can leave the clay without cracking it.",
    "de": "Die Temperatur langsam erhöhen, damit die Feuchtigkeit den Ton verlassen kann.",
    "es": "Suba la temperatura lentamente para que la humedad salga de la arcilla sin agrietarla.",
    "fr": "Montez la température lentement, afin que l'humidité quitte l'argile sans la fendre.",
    "ar": "ارفع درجة الحرارة ببطء حتى تخرج الرطوبة من الطين دون أن يتشقق.",
    "ru": "Поднимайте температуру медленно, чтобы влага вышла из глины и та не треснула.",
    "th": "ค่อย ๆ เพิ่มอุณหภูมิเพื่อให้ความชื้นออกจากดินโดยไม่แตก",
    "zh": "慢慢升高温度，使水分离开黏土而不致开裂。",  # noqa: RUF001  as Chinese writes a comma
    "ja": "粘土が割れないように、水分が抜けるまでゆっくり温度を上げます。",
    "ko": "수분이 빠져나가 점토가 갈라지지 않도록 온도를 천천히 올립니다.",
}


def language(text: str = "", title: str = "", **metadata: Any) -> str | None:
    return language_of(Document(id="a", text=text, title=title, metadata=metadata))


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_tells_its_language(code: str) -> None:
    assert language(TEXTS[code]) == code


def test_the_title_is_read_too() -> None:
    assert language("1234", title=TEXTS["de"]) == "de"


@pytest.mark.parametrize("text", ["", "42", "x = f(y)", "SELECT * FROM t WHERE a = 1", "ERROR 404"])
def test_what_is_no_language_is_not_guessed(text: str) -> None:
    assert language(text) is None


def test_the_beginning_of_a_long_text_is_enough() -> None:
    assert language(TEXTS["es"] * 20 + TEXTS["en"] * 10_000) == "es"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"language": "fr"}, "fr"),
        ({"lang": "fr"}, "fr"),
        ({"language": "fr", "lang": "es"}, "fr"),
        ({"language": "FR-ca"}, "fr"),
        ({"language": " fr_FR "}, "fr"),
        ({"language": "fra"}, "fra"),
        # None of these names a language: the text tells.
        ({"language": "und"}, "de"),
        ({"language": "Französisch"}, "de"),
        ({"language": ""}, "de"),
        ({"language": None}, "de"),
        ({"language": ["fr"]}, "de"),
        ({"language": 7, "lang": "fr"}, "fr"),
    ],
)
def test_a_document_that_names_its_language_is_believed(
    metadata: dict[str, Any], expected: str
) -> None:
    assert language(TEXTS["de"], **metadata) == expected


def test_a_variety_is_taken_for_its_language() -> None:
    egyptian = "إزيك عامل ايه النهارده؟ انا كويس الحمد لله، عايز اروح السوق دلوقتي."
    assert language(egyptian) == "ar"
