"""Turkish endings as a reader expects them, whatever the name."""

import pytest

from services.sender.formats import Suffix
from services.sender.wording.turkish import inflect

CASES: list[Suffix] = [
    *("genitive", "dative", "accusative", "locative", "ablative", "instrumental"),
]
NAMES = """
Ahmet        Ahmet'in      Ahmet'e      Ahmet'i      Ahmet'te      Ahmet'ten      Ahmet'le
Ayşe         Ayşe'nin      Ayşe'ye      Ayşe'yi      Ayşe'de       Ayşe'den       Ayşe'yle
Tarık        Tarık'ın      Tarık'a      Tarık'ı      Tarık'ta      Tarık'tan      Tarık'la
Ece          Ece'nin       Ece'ye       Ece'yi       Ece'de        Ece'den        Ece'yle
Uludağ       Uludağ'ın     Uludağ'a     Uludağ'ı     Uludağ'da     Uludağ'dan     Uludağ'la
Zeynep       Zeynep'in     Zeynep'e     Zeynep'i     Zeynep'te     Zeynep'ten     Zeynep'le
Recep        Recep'in      Recep'e      Recep'i      Recep'te      Recep'ten      Recep'le
Burak        Burak'ın      Burak'a      Burak'ı      Burak'ta      Burak'tan      Burak'la
Ufuk         Ufuk'un       Ufuk'a       Ufuk'u       Ufuk'ta       Ufuk'tan       Ufuk'la
Göktürk      Göktürk'ün    Göktürk'e    Göktürk'ü    Göktürk'te    Göktürk'ten    Göktürk'le
Melek        Melek'in      Melek'e      Melek'i      Melek'te      Melek'ten      Melek'le
Hakkı        Hakkı'nın     Hakkı'ya     Hakkı'yı     Hakkı'da      Hakkı'dan      Hakkı'yla
Duygu        Duygu'nun     Duygu'ya     Duygu'yu     Duygu'da      Duygu'dan      Duygu'yla
Türkü        Türkü'nün     Türkü'ye     Türkü'yü     Türkü'de      Türkü'den      Türkü'yle
Yıldız       Yıldız'ın     Yıldız'a     Yıldız'ı     Yıldız'da     Yıldız'dan     Yıldız'la
Barış        Barış'ın      Barış'a      Barış'ı      Barış'ta      Barış'tan      Barış'la
Güneş        Güneş'in      Güneş'e      Güneş'i      Güneş'te      Güneş'ten      Güneş'le
Enes         Enes'in       Enes'e       Enes'i       Enes'te       Enes'ten       Enes'le
Nurgül       Nurgül'ün     Nurgül'e     Nurgül'ü     Nurgül'de     Nurgül'den     Nurgül'le
Rauf         Rauf'un       Rauf'a       Rauf'u       Rauf'ta       Rauf'tan       Rauf'la
Sait         Sait'in       Sait'e       Sait'i       Sait'te       Sait'ten       Sait'le
Akif         Akif'in       Akif'e       Akif'i       Akif'te       Akif'ten       Akif'le
Emine        Emine'nin     Emine'ye     Emine'yi     Emine'de      Emine'den      Emine'yle
Jale         Jale'nin      Jale'ye      Jale'yi      Jale'de       Jale'den       Jale'yle
Su           Su'nun        Su'ya        Su'yu        Su'da         Su'dan         Su'yla
Kemal        Kemal'in      Kemal'e      Kemal'i      Kemal'de      Kemal'den      Kemal'le
Hilal        Hilal'in      Hilal'e      Hilal'i      Hilal'de      Hilal'den      Hilal'le
Celal        Celal'in      Celal'e      Celal'i      Celal'de      Celal'den      Celal'le
Resul        Resul'ün      Resul'e      Resul'ü      Resul'de      Resul'den      Resul'le
Gürol        Gürol'un      Gürol'a      Gürol'u      Gürol'da      Gürol'dan      Gürol'la
Kâzım        Kâzım'ın      Kâzım'a      Kâzım'ı      Kâzım'da      Kâzım'dan      Kâzım'la
İzmir        İzmir'in      İzmir'e      İzmir'i      İzmir'de      İzmir'den      İzmir'le
Isparta      Isparta'nın   Isparta'ya   Isparta'yı   Isparta'da    Isparta'dan    Isparta'yla
Kadıköy      Kadıköy'ün    Kadıköy'e    Kadıköy'ü    Kadıköy'de    Kadıköy'den    Kadıköy'le
Beyoğlu      Beyoğlu'nun   Beyoğlu'na   Beyoğlu'nu   Beyoğlu'nda   Beyoğlu'ndan   Beyoğlu'yla
Kuşadası     Kuşadası'nın  Kuşadası'na  Kuşadası'nı  Kuşadası'nda  Kuşadası'ndan  Kuşadası'yla
AHMET        AHMET'İN      AHMET'E      AHMET'İ      AHMET'TE      AHMET'TEN      AHMET'LE
IŞIL         IŞIL'ın       IŞIL'a       IŞIL'ı       IŞIL'da       IŞIL'dan       IŞIL'la
TBMM         TBMM'nin      TBMM'ye      TBMM'yi      TBMM'de       TBMM'den       TBMM'yle
PTT          PTT'nin       PTT'ye       PTT'yi       PTT'de        PTT'den        PTT'yle
ABD          ABD'nin       ABD'ye       ABD'yi       ABD'de        ABD'den        ABD'yle
AB           AB'nin        AB'ye        AB'yi        AB'de         AB'den         AB'yle
ODTÜ         ODTÜ'nün      ODTÜ'ye      ODTÜ'yü      ODTÜ'de       ODTÜ'den       ODTÜ'yle
SMS          SMS'in        SMS'e        SMS'i        SMS'te        SMS'ten        SMS'le
iPhone       iPhone'un     iPhone'a     iPhone'u     iPhone'da     iPhone'dan     iPhone'la
Google       Google'ın     Google'a     Google'ı     Google'da     Google'dan     Google'la
WhatsApp     WhatsApp'ın   WhatsApp'a   WhatsApp'ı   WhatsApp'ta   WhatsApp'tan   WhatsApp'la
John         John'un       John'a       John'u       John'da       John'dan       John'la
George       George'un     George'a     George'u     George'da     George'dan     George'la
Mary         Mary'nin      Mary'ye      Mary'yi      Mary'de       Mary'den       Mary'yle
Marie        Marie'nin     Marie'ye     Marie'yi     Marie'de      Marie'den      Marie'yle
Zoë          Zoë'nin       Zoë'ye       Zoë'yi       Zoë'de        Zoë'den        Zoë'yle
José         José'nin      José'ye      José'yi      José'de       José'den       José'yle
Max          Max'ın        Max'a        Max'ı        Max'ta        Max'tan        Max'la
Jean-Pierre  Jean-Pierre'in Jean-Pierre'e Jean-Pierre'i Jean-Pierre'de Jean-Pierre'den \
Jean-Pierre'le
O'Neill      O'Neill'in    O'Neill'e    O'Neill'i    O'Neill'de    O'Neill'den    O'Neill'le
5            5'in          5'e          5'i          5'te          5'ten          5'le
6            6'nın         6'ya         6'yı         6'da          6'dan          6'yla
10           10'un         10'a         10'u         10'da         10'dan         10'la
40           40'ın         40'a         40'ı         40'ta         40'tan         40'la
100          100'ün        100'e        100'ü        100'de        100'den        100'le
1.000        1.000'in      1.000'e      1.000'i      1.000'de      1.000'den      1.000'le
2026         2026'nın      2026'ya      2026'yı      2026'da       2026'dan       2026'yla
%20          %20'nin       %20'ye       %20'yi       %20'de        %20'den        %20'yle
kitap        kitabın       kitaba       kitabı       kitapta       kitaptan       kitapla
ağaç         ağacın        ağaca        ağacı        ağaçta        ağaçtan        ağaçla
renk         rengin        renge        rengi        renkte        renkten        renkle
saat         saatin        saate        saati        saatte        saatten        saatle
şehir        şehrin        şehre        şehri        şehirde       şehirden       şehirle
su           suyun         suya         suyu         suda          sudan          suyla
hak          hakkın        hakka        hakkı        hakta         haktan         hakla
top          topun         topa         topu         topta         toptan         topla
çanta        çantanın      çantaya      çantayı      çantada       çantadan       çantayla
15:00        15:00'in      15:00'e      15:00'i      15:00'te      15:00'ten      15:00'le
09.00        09.00'un      09.00'a      09.00'u      09.00'da      09.00'dan      09.00'la
III          III'ün        III'e        III'ü        III'te        III'ten        III'le
XX           XX'nin        XX'ye        XX'yi        XX'de         XX'den         XX'yle
XIX          XIX'un        XIX'a        XIX'u        XIX'da        XIX'dan        XIX'la
Jacques      Jacques'ın    Jacques'a    Jacques'ı    Jacques'ta    Jacques'tan    Jacques'la
Zülal        Zülal'in      Zülal'e      Zülal'i      Zülal'de      Zülal'den      Zülal'le
"""
ROWS = [line.split() for line in NAMES.replace("\\\n", "").strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_case_of_a_word(row: list[str]) -> None:
    assert [inflect(row[0], case) for case in CASES] == row[1:]


@pytest.mark.parametrize(
    ("name", "dative"),
    [
        ("Ahmet Yılmaz", "Ahmet Yılmaz'a"),
        ("Mehmet Ali", "Mehmet Ali'ye"),
        ("Sezen Aksu", "Sezen Aksu'ya"),
        ("AYŞE ÖZ", "AYŞE ÖZ'E"),
        ("Bağdat Caddesi", "Bağdat Caddesi'ne"),
        ("Taksim Meydanı", "Taksim Meydanı'na"),
        ("Topkapı Sarayı", "Topkapı Sarayı'na"),
        ("Sabiha Gökçen Havalimanı", "Sabiha Gökçen Havalimanı'na"),
        ("Anneler Günü", "Anneler Günü'ne"),
        ("Kurban Bayramı", "Kurban Bayramı'na"),
        ("Ayşe Levi", "Ayşe Levi'ye"),
        ("50 TL", "50 TL'ye"),
        ("A101 MARKET", "A101 MARKET'e"),
        ("kadın ayakkabısı", "kadın ayakkabısına"),
        ("spor çanta", "spor çantaya"),
    ],
)
def test_of_several_words_the_last_bears_the_ending(name: str, dative: str) -> None:
    assert inflect(name, "dative") == dative


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Ayşe 🙂",
        "Ltd. Şti.",
        "Ahmet'in",
        "Bmw",
        "Beaulieu",
        "Shakespeare",
        "Bernadette",
        "Дмитрий",
        "明",
        "!",
    ],
)
def test_where_nobody_can_tell_the_sound_there_is_no_form(name: str) -> None:
    assert [inflect(name, case) for case in CASES] == [""] * len(CASES)
