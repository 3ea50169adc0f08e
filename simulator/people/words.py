"""What people say, by language, and what they are called. Pure."""

from typing import Final

SAYINGS: Final = {
    "tr": (
        "Teşekkürler 🙏",
        "Kargom ne zaman gelir?",
        "Fiyatı ne kadar?",
        "Başka bir rengi var mı?",
        "İade etmek istiyorum",
        "Mağazanız bugün açık mı?",
    ),
    "en": (
        "Thanks 🙏",
        "When will my order arrive?",
        "How much is it?",
        "Do you have it in another colour?",
        "I would like to return it",
        "Is your shop open today?",
    ),
    "de": (
        "Danke 🙏",
        "Wann kommt meine Bestellung?",
        "Was kostet das?",
        "Gibt es das auch in Größe 42?",
        "Ich möchte es zurückgeben",
    ),
    "es": (
        "Gracias 🙏",
        "¿Cuándo llega mi pedido?",
        "¿Cuánto cuesta?",
        "¿Lo tienen en otro color?",
        "Quiero devolverlo",
    ),
    "fr": (
        "Merci 🙏",
        "Quand arrive ma commande ?",
        "C'est combien ?",
        "Il existe en d'autres couleurs ?",
        "Je voudrais le retourner",
    ),
    "pt": (
        "Obrigado 🙏",
        "Quando chega o meu pedido?",
        "Quanto custa?",
        "Tem de outra cor?",
        "Quero devolver",
    ),
    "ar": (
        "شكرا 🙏",
        "متى يصل طلبي؟",
        "كم السعر؟",
        "هل يوجد لون آخر؟",
        "أريد إرجاعه",
    ),
}

STOP_WORDS: Final = {
    "tr": ("DUR", "DUR", "Ret"),
    "en": ("STOP", "STOP", "Stop"),
    "de": ("STOPP", "Stop"),
    "es": ("BAJA", "PARAR"),
    "fr": ("STOP", "ARRET"),
    "pt": ("PARAR", "SAIR"),
    "ar": ("إيقاف", "STOP"),
}

NAMES: Final = {
    "tr": ("Ayşe", "Mehmet", "Çiğdem", "Emre", "Zeynep", "Oğuz", "Şule", "Can"),
    "en": ("Olivia", "Jack", "Grace", "Harry", "Amelia", "Tom", "Zoë", "Sam"),
    "de": ("Jürgen", "Anna", "Lukas", "Grete", "Jörg", "Mia"),
    "es": ("Lucía", "Íñigo", "Carmen", "José", "Begoña", "Raúl"),
    "fr": ("Chloé", "Hugo", "Zoé", "Éric", "Anaïs", "Loïc"),
    "pt": ("João", "Inês", "Tomás", "Conceição", "Luísa"),
    "ar": ("فاطمة", "محمد", "ليلى", "يوسف", "Noor"),
}
