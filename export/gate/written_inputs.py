"""Texts, pairs of texts and molecules for the gate files, written for this project."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from omnivec2.spec import HeadSpec, Modality

_PAIRS = (
    ("A boy is playing the guitar on a bench.", "A boy plays an instrument outside."),
    ("Two dogs are running through the snow.", "Two dogs are sleeping on a sofa."),
    ("The shop opens at nine and closes at six.", "The shop is closed in the morning at eight."),
    ("A woman is slicing a ripe tomato.", "A tomato is being cut by a woman."),
    ("The match was cancelled because of heavy rain.", "Rain stopped the match from taking place."),
    ("Nobody is riding the bicycle.", "A man is riding a bicycle down the hill."),
    ("The company raised its prices by four per cent.", "Prices went up 4 % at the company."),
    ("A child in a red coat is feeding ducks.", "A child is near some birds."),
    ("The report was published on Monday.", "The report will appear on Monday next week."),
    ("Several people are waiting for the bus.", "A group stands at the bus stop."),
    ("The cat is asleep under the table.", "There is no cat under the table."),
    ("He paid for the tickets in advance.", "The tickets were bought before the show."),
    ("The bridge was built by the army in 1931.", "Soldiers finished the bridge in 1931."),
    ("A man is cooking rice in a large pot.", "A man is eating rice."),
    ("The river rose two metres in one night.", "Overnight the water climbed by two metres."),
    ("Three women are dancing on a stage.", "Three women are performing indoors."),
)
_TEXTS = (
    "A slow first half, but the ending is worth the wait.",
    "The actors do what they can with a script that has nothing to say.",
    "It is neither as clever nor as bad as people say.",
    "I laughed twice, and one of those times was at the credits.",
    "Not a great film, yet I could not look away.",
    "A lovely, small story told without a false note.",
    "The effects are impressive; the people are made of cardboard.",
    "You will like it if you liked the book, and nobody liked the book.",
)
_DIALOGUES = (
    "Anna: Are you coming to the dinner on Friday? Ben: I have to work until seven. "
    "Anna: We start at eight, so that is fine. Ben: Great, then I will bring the dessert.",
    "Doctor: How long have you had the cough? Patient: About three weeks, it is worse at night. "
    "Doctor: Any fever? Patient: No fever, but my chest hurts a little when I breathe in.",
    "Tom: The printer is out of paper again. Mia: There is more in the cupboard. "
    "Tom: I looked, it is empty. Mia: Then I will order some this afternoon.",
    "Doctor: Do you take any medicine? Patient: Only something for my blood pressure. "
    "Doctor: Are you allergic to anything? Patient: Penicillin gives me a rash.",
)
_MOLECULES = (
    "CCO",
    "CC(=O)O",
    "c1ccccc1",
    "Oc1ccccc1",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "OCC1OC(O)C(O)C(O)C1O",
    "c1ccc2ccccc2c1",
    "CN1CCCC1c1cccnc1",
    "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl",
    "CC(=O)CC(c1ccccc1)C1=C(O)c2ccccc2OC1=O",
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "O=C(O)C1=CN(C2CC2)c2cc(N3CCNCC3)c(F)cc2C1=O",
    "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",
    "COc1ccc2[nH]c(nc2c1)S(=O)Cc1ncc(C)c(OC)c1C",
    "OC1(CCN(CCCC(=O)c2ccc(F)cc2)CC1)c1ccc(Cl)cc1",
    "CCCc1nn(C)c2c1nc([nH]c2=O)-c1cc(ccc1OCC)S(=O)(=O)N1CCN(C)CC1",
)


def written_inputs(head: HeadSpec) -> Sequence[JsonValue]:
    """Return inputs of a head in their JSON form; none of modalities that come as files."""
    if head.modality is Modality.GRAPH:
        return _MOLECULES
    if head.modality is not Modality.TEXT:
        return ()
    if head.generation is not None:
        return _DIALOGUES
    if head.preprocess.parameters.get("pair"):
        return [{"text": text, "text_pair": other} for text, other in _PAIRS]
    return [*_TEXTS, *(text for pair in _PAIRS for text in pair)]
