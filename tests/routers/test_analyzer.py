"""Words and n-grams in scripts with and without blanks between words."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.routers.analyzer import WORD, words_and_ngrams
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import new_trainer
from benchcoe_jobs.routers.tfidf import TfidfFeatures

EARLIER = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD).build_analyzer()

# "court contract law" and "sum prime matrix", as words of each language, and "what is" in front of them.
LANGUAGES = {
    "Chinese": ("什么是", "法院 合同 侵权 原告", "总和 质数 矩阵 积分"),
    "Japanese": ("とは何ですか", "裁判所 契約 ほうりつ 原告", "行列 ソスウ 積分 たしざん"),
    "Korean": ("무엇입니까", "법원은 계약서 원고에게 판사의", "행렬은 소수를 적분의 덧셈"),
    "Thai": ("อะไรคือ", "ศาล สัญญา กฎหมาย โจทก์", "ผลรวม เมทริกซ์ จำนวนเฉพาะ ปริพันธ์"),
    "Lao": ("ແມ່ນຫຍັງ", "ສານ ສັນຍາ ກົດໝາຍ ໂຈດ", "ຜົນບວກ ມາຕຣິກ ຈຳນວນ ບວກ"),
    "Khmer": ("អ្វីជា", "តុលាការ កិច្ចសន្យា ច្បាប់ ចៅក្រម", "ផលបូក ម៉ាទ្រីស លេខបឋម អាំងតេក្រាល"),
    "Burmese": ("ဘာလဲ", "တရားရုံး စာချုပ် ဥပဒေ တရားလို", "ပေါင်းလဒ် မက်ထရစ် သုဒ္ဓကိန်း အင်တီဂရယ်"),
    "Tibetan": ("ག་རེ་རེད་", "ཁྲིམས་ཁང་ གན་རྒྱ་ ཁྲིམས་ལུགས་ ཞུ་གཏུག་", "བསྡོམས་འབོར་ གྲངས་ཀ་ ཨང་རྩིས་ ཁ་གྲངས་"),
    "Javanese": ("ꦲꦥ", "ꦥꦔꦣꦶꦭꦤ꧀ ꦏꦺꦴꦤ꧀ꦠꦿꦏ꧀ ꦲꦸꦏꦸꦩ꧀", "ꦗꦸꦩ꧀ꦭꦃ ꦩꦠꦿꦶꦏ꧀ꦱ꧀ ꦮꦶꦭꦔꦤ꧀"),
    "Hindi": ("क्या है ", "न्यायालय अनुबंध कानून वादी", "योग आव्यूह अभाज्य समाकल"),
    "English": ("what is the ", "court contract law plaintiff", "sum matrix prime integral"),
}


def sentences(words: str, start: str, seed: int, n: int) -> list[RouterInput]:
    """Questions of some of the words in a random order, without blanks between the words."""
    rng = np.random.default_rng(seed)
    joint = " " if start.endswith(" ") else ""
    return [RouterInput(start + joint.join(rng.permutation(words.split())[:3])) for _ in range(n)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_router_learns_subjects_in_every_language(language: str) -> None:
    start, law, mathematics = LANGUAGES[language]
    questions = sentences(law, start, 0, 12) + sentences(mathematics, start, 1, 12)
    examples = Examples(questions, ["law"] * 12 + ["math"] * 12, np.repeat(np.eye(2), 12, axis=0))
    trainer = new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext())
    model = trainer.fit(("law", "math"), examples)
    unseen = sentences(law, start, 2, 20) + sentences(mathematics, start, 3, 20)
    predictions, _, is_known = model.read(unseen)
    assert is_known.all()
    assert predictions.argmax(axis=1).tolist() == [0] * 20 + [1] * 20
    assert predictions.max(axis=1).min() > 0.7, "and it is sure of them"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("法院的合同", ["法", "院", "的", "合", "同"]),
        ("iPhone手机？", ["iphone", "手", "机", "？"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("བོད་ཡིག་གི་", ["བོད", "ཡིག", "གི"]),
        ("한국어", ["한", "국", "어"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("1️⃣ ❤️love", ["1️⃣", "❤", "\ufe0f", "love"]),
        ("葛\U000e0100飾", ["葛\U000e0100", "飾"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
        ("\ud800", ["\ud800"]),
        ("", []),
    ],
)
def test_the_words_of_a_text(text: str, words: list[str]) -> None:
    assert [found for found in words_and_ngrams(text) if " " not in found] == words


def test_pairs_and_triples() -> None:
    assert words_and_ngrams("大法院 is x")[5:] == ["大 法", "法 院", "院 is", "is x", "大 法 院"]


@pytest.mark.parametrize(
    "text",
    [
        "What is the sum of 3 + 4_x? A) 7; \\frac{1}{2} $$ Don't stop.",
        "Poincaré's 5½ μ² → ∞ “quoted” naïve Größe",
        "Что такое закон? Τι είναι νόμος; ما هو القانون",
    ],
)
def test_languages_with_blanks_have_the_words_and_pairs_of_earlier_releases(text: str) -> None:
    assert sorted(words_and_ngrams(text)) == sorted(EARLIER(text))


# The first words of the names of their characters, as Unicode gives them.
UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "HANGUL", "YI", "TANGUT", "NUSHU", "THAI", "LAO", "KHMER"}
UNSPACED |= {
    "MYANMAR",
    "TAI",
    "NEW",
    "BALINESE",
    "JAVANESE",
    "CHAM",
    "BATAK",
    "BUGINESE",
    "AHOM",
    "REJANG",
    "HALFWIDTH",
}
SPACED = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "SINHALA"}
SPACED |= {"GEORGIAN", "ETHIOPIC", "CHEROKEE", "MONGOLIAN", "MATHEMATICAL", "FULLWIDTH"}


def test_every_letter_of_a_script_without_blanks_is_a_word_of_its_own() -> None:
    wrong = []
    for code in range(0x80, 0x32000):
        letter = chr(code)
        if not unicodedata.category(letter).startswith("L"):
            continue
        script = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
        n_words = len([word for word in words_and_ngrams(letter * 2) if " " not in word])
        if (script in UNSPACED and n_words != 2) or (script in SPACED and n_words != 1):
            wrong.append(f"{code:x}")
    assert wrong == []


def test_the_analyzer_is_part_of_the_artifact() -> None:
    features = TfidfFeatures(TrainingContext())
    features.fit([RouterInput("法院 law"), RouterInput("law and order")])
    assert features.config()["analyzer"] == 2
    earlier = {"vocabulary": ["law", "法院"]}
    restored = TfidfFeatures.restore(earlier, {"idf": np.ones(2)}, None)
    assert restored.config() == earlier
    assert restored.transform([RouterInput("法院")]).toarray().tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match="analyzer 3 is not known"):
        TfidfFeatures.restore(earlier | {"analyzer": 3}, {"idf": np.ones(2)}, None)


TEXTS = st.lists(st.text("ab \n.é法院", max_size=30), min_size=1, max_size=6)


@given(TEXTS, TEXTS, st.sampled_from([1, 2]))
def test_features_are_those_of_scikit_learn_to_the_last_bit(known: list[str], others: list[str], analyzer: int) -> None:
    features = TfidfFeatures(TrainingContext())
    features.fit([RouterInput(text) for text in [*known, "word"]])
    features = TfidfFeatures.restore(features.config() | {"analyzer": analyzer}, features.arrays(), None)
    expected = features._vectorizer.transform(others)
    found = features.transform([RouterInput(text) for text in others])
    assert found.shape == expected.shape
    assert (found.toarray() == expected.toarray()).all()
