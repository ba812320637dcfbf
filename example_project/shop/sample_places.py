"""Where the people of the sample orders live, what they are called, and how they pay."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Country:
    """What it takes to make up an order from there.

    Attributes:
        offset: Hours from UTC, in summer.
        rate: What a euro is in ``currency``.
        people: Names in two parts, given name first; a name that is not in Latin letters has
            its Latin form behind a slash.
        streets: Each with ``#`` for the number.
        places: Cities, each with its postcode; ``#`` is any digit.
    """

    code: str
    offset: int
    currency: str
    rate: Decimal
    people: tuple[tuple[str, ...], tuple[str, ...]]
    streets: tuple[str, ...]
    places: tuple[tuple[str, str], ...]


def _country(code, offset, money, given, family, streets, places) -> Country:
    currency, rate = money.split()
    return Country(
        code=code,
        offset=offset,
        currency=currency,
        rate=Decimal(rate),
        people=(tuple(given.split()), tuple(family.split(", "))),
        streets=tuple(streets.split("; ")),
        places=tuple(tuple(place.split("=")) for place in places.split("; ")),
    )


COUNTRIES = (
    _country(
        "DE",
        2,
        "EUR 1",
        "Zoë Jürgen Anneliese Björn Käthe Lukas Mia Sören Ayşe Günther",
        "Müller, Weiß, Schröder, Groß, Yılmaz, von Ahlefeldt, Lindenbaum, Krüger",  # noqa: RUF001
        "Goethestraße #; Am Mühlbach #; Lindenallee #a; Schloßplatz #; Große Gasse #",
        "Köln=506##; Berlin=101##; München=803##; Würzburg=970##; Görlitz=028##",
    ),
    _country(
        "GB",
        1,
        "GBP 0.86",
        "Oliver Siân Niamh Harriet Callum Priya Gwen Alistair Imogen Tariq",
        "O'Connor, Featherstonehaugh, MacDonald, Shah, Brontë, Hughes, Ashby-Cole, Okafor",
        "# High Street; # Station Road; Flat #, Rose Court; # Mill Lane; The Forge, # Oak Walk",
        "London=N1 #AB; Cardiff=CF10 #DF; Edinburgh=EH1 #YZ; Leeds=LS2 #HQ; Bath=BA1 #LN",
    ),
    _country(
        "FR",
        2,
        "EUR 1",
        "François Élodie Maëlle Jérôme Anaïs Benoît Chloé Noël Inès Guillaume",
        "Lefèvre, D'Arcy, Beaumont, Gérard, Müntz, de La Tour, N'Diaye, Pâquet",
        "# rue de la Paix; # avenue Jean-Jaurès; #bis, place du Marché; # allée des Érables",
        "Paris=750##; Lyon=690##; Besançon=250##; Orléans=450##; Saint-Étienne=420##",
    ),
    _country(
        "PL",
        2,
        "PLN 4.27",
        "Łukasz Małgorzata Zbigniew Agnieszka Paweł Żaneta Grzegorz Świętosława",
        "Wójcik, Kowalczyk, Dąbrowski, Szczęsny, Zając, Błaszczykowska, Nowak, Gołąb",
        "ul. Długa #; ul. Świętego Marcina #/#; al. Niepodległości #; ul. Żeromskiego #",
        "Łódź=90-0##; Kraków=30-0##; Gdańsk=80-8##; Wrocław=50-1##; Rzeszów=35-0##",
    ),
    _country(
        "JP",
        9,
        "JPY 163",
        "太郎/Taro 花子/Hanako 健一/Kenichi さくら/Sakura 美咲/Misaki 翔/Sho 直樹/Naoki",
        "山田/Yamada, 佐藤/Sato, 鈴木/Suzuki, 高橋/Takahashi, 小林/Kobayashi, 渡辺/Watanabe",
        "本町#-#; 神宮前#-#-#; 東山#丁目#; 緑ヶ丘#-#",
        "東京都渋谷区=150-00##; 京都市左京区=606-8###; 札幌市中央区=060-00##; 宇治市=611-00##",
    ),
    _country(
        "SE",
        2,
        "SEK 11.4",
        "Åsa Göran Linnéa Björn Märta Örjan Elsa Håkan",
        "Åström, Sjöberg, Lindqvist, Öberg, Nyström, Hägg, Bergström",
        "Storgatan #; Kungsängsvägen #; Östra Ågatan # B; Västra Hamngatan #",
        "Stockholm=111 ##; Göteborg=411 ##; Malmö=211 ##; Umeå=903 ##; Växjö=352 ##",
    ),
    _country(
        "NL",
        2,
        "EUR 1",
        "Joris Anouk Daniël Sanne Thijs Noëlle Femke Ruben",
        "de Vries, van 't Hoff, Jansen, van den Berg, Çelik, Smeets, Koëter",
        "Keizersgracht #; Dorpsstraat #; Laan van Meerdervoort #-#; 's-Gravenweg #",
        "Amsterdam=1015 AB; Utrecht=3511 LX; 's-Hertogenbosch=5211 KM; Groningen=9712 CP",
    ),
    _country(
        "US",
        -5,
        "USD 1.14",
        "Jennifer José DeShawn Renée Michael Xiomara Tyler Mei-Ling Beyoncé Wyatt",
        "Smith, García, Johnson, Nuñez, Washington, O'Leary, Nguyen, St. John, Kowalski",
        "#2 Main St; #40 Elm Ave, Apt #; #1 Martin Luther King Jr Blvd; PO Box #7",
        "Portland, OR=972##; Austin, TX=787##; Chicago, IL=606##; New York, NY=100##",
    ),
    _country(
        "ES",
        2,
        "EUR 1",
        "Iñaki Begoña José Lucía Jesús Ángela Martín Nuria",
        "Muñoz, Ibáñez, Peña, García Lorca, Güell, Rodríguez, Etxeberría",
        "Calle Mayor, #; C/ de l'Àngel #, #º; Avenida de la Constitución #; Plaza España #",
        "Madrid=280##; Barcelona=080##; A Coruña=150##; Cádiz=110##; Logroño=260##",
    ),
    _country(
        "IT",
        2,
        "EUR 1",
        "Niccolò Chiara Noè Giosuè Beatrice Salvatore Mirò Federica",
        "D'Angelo, Rossi, Bagnarà, Dell'Acqua, Nicolò, Ferrari, De Santis",
        "Via Garibaldi #; Piazza Unità d'Italia #; Corso Vittorio Emanuele II, #; Vicolo Rosso #",
        "Roma=001##; Milano=201##; Forlì=471##; Cefalù=90015; Città di Castello=06012",
    ),
)
