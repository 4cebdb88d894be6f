"""The speakers: names, pronouns and typing habits."""

from dataclasses import dataclass

_SHE = (
    "Aino Aisha Alba Alma Amara Amelia Amélie Ana Anaïs Anna Anouk Astrid Aylin Beatriz Bella Bianca Brigid "
    "Camila Carmen Céline Chiara Chloé Clara Dalia Daniela Dina Edith Elena Elif Elsa Emma Esra Esther Eva "
    "Fatima Faye Fiona Flora Freya Gemma Gisela Grace Greta Hana Hannah Heidi Helen Ida Ines Inés Ingrid Iris "
    "Irma Isla Ivana Jana Jasmin Joan Jolanta Judith Julia Kaja Karin Kasia Kate Katya Keiko Kim Lara Laura "
    "Leila Lena Lila Lin Linda Lotte Lucía Lucy Luna Magda Maja Małgosia Mara Margot María Marta Maya Mei "
    "Mila Mina Mira Molly Mona Nadia Naomi Nathalie Nina Noor Nora Nour Olga Olivia Paula Petra Pia Priya "
    "Rania Renée Rita Rosa Rosie Ruth Salma Sana Sara Šárka Selin Silvia Sofia Sofía Sonia Stella Svea Tamara "
    "Tara Tess Thea Tilda Ursula Valeria Vera Wanda Yara Yuki Zeynep Zofia Zoë Żaneta Нина Ελένη"
).split()

_HE = (
    "Adam Aidan Alan Albin Alex Ali Anders André Andrew Anton Arjun Arthur Ben Björn Boris Bruno Cem Carlos "
    "Casper Charlie Ciarán Colin Dan Dario David Diego Dominik Eddie Edgar Elias Emil Emre Enzo Eric Ethan Ezra "
    "Felix Filip Finn Franz Fred Gabriel George Gustav Hamid Hans Harry Hassan Henrik Henry Hugo Ian Igor Ivan "
    "Jack Jacob Jakub James Jan Jean Jens Joel Jonas José João Juan Jürgen Kai Karim Karl Kenji Kevin Kofi Kurt "
    "Lars Leo Liam Louis Luca Lukas Łukasz Malik Marco Mark Martin Matteo Max Mehmet Michał Miguel Milo Mohamed "
    "Nico Niels Nikhil Noah Olaf Oliver Omar Oscar Otto Ove Owen Pablo Patrick Paul Pavel Pedro Peter Philip "
    "Pierre Rafael Raj Ralph Ray René Ricardo Rob Robin Ruben Sam Samir Samuel Sanjay Sean Sergio Simon Søren "
    "Stefan Steve Sven Tariq Theo Thomas Tim Tobias Tom Tomás Umar Victor Vince Wei Will Yusuf Zack Žiga Иван Νίκος"
).split()


@dataclass(frozen=True)
class Person:
    """A speaker or a person who is mentioned."""

    name: str
    he: str
    him: str
    his: str


PEOPLE = [Person(n, "she", "her", "her") for n in _SHE] + [Person(n, "he", "him", "his") for n in _HE]


@dataclass(frozen=True)
class Hand:
    """How a person types. Shares are probabilities per opportunity."""

    lower: bool
    drops_stop: float
    emoji: float
    typo: float
    short: float
    stretch: float


def hand(rng):
    """A person's habits; most people type fairly well."""
    kind = rng.random()
    if kind < 0.35:
        return Hand(False, 0.15, 0.03, 0.0, 0.0, 0.0)
    if kind < 0.70:
        return Hand(False, 0.6, 0.08, 0.02, 0.1, 0.03)
    if kind < 0.90:
        return Hand(True, 0.9, 0.1, 0.05, 0.35, 0.06)
    return Hand(True, 1.0, 0.2, 0.12, 0.7, 0.12)
