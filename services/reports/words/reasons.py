"""Meta's error codes in people's words, with what helps: English and Turkish. Pure."""

from typing import Final

_SAYS: Final[dict[int, tuple[str, str]]] = {
    131026: (
        "Cannot be delivered: no WhatsApp there, an old version, or terms not accepted",
        "İletilemiyor: WhatsApp yok, sürüm eski ya da koşullar kabul edilmemiş",
    ),
    131047: (
        "More than 24 hours since the person last wrote; only a template may go",
        "Kişi son yazdığından bu yana 24 saatten fazla geçti; yalnızca şablon gidebilir",
    ),
    131049: (
        "Meta held it back: the person got enough marketing lately",
        "Meta göndermedi: kişi son günlerde yeterince pazarlama mesajı aldı",
    ),
    131050: (
        "The person stopped marketing messages of the business in WhatsApp",
        "Kişi işletmenin pazarlama mesajlarını WhatsApp'ta durdurdu",
    ),
    130472: (
        "Meta held it back for an experiment of its own",
        "Meta kendi deneyi için göndermedi",
    ),
    131048: (
        "Too many people blocked or reported the number; Meta limits it",
        "Numarayı çok kişi engelledi ya da bildirdi; Meta sınırlıyor",
    ),
    131056: (
        "Too many messages to the same person in a short time",
        "Aynı kişiye kısa sürede çok fazla mesaj",
    ),
    130429: (
        "More messages at once than Meta allows the number",
        "Meta'nın numaraya izin verdiğinden fazla eşzamanlı mesaj",
    ),
    131021: ("The business wrote to itself", "İşletme kendisine yazdı"),
    131030: (
        "The number is not on the list of test recipients",
        "Numara test alıcıları listesinde değil",
    ),
    131031: ("Meta locked the account", "Meta hesabı kilitledi"),
    131042: (
        "Something is wrong with how the account pays Meta",
        "Hesabın Meta'ya ödeme yönteminde sorun var",
    ),
    131051: ("A kind of message WhatsApp does not know", "WhatsApp'ın bilmediği bir mesaj türü"),
    131053: (
        "Meta could not fetch or read the picture or file",
        "Meta görseli ya da dosyayı alamadı veya okuyamadı",
    ),
    131000: ("Something went wrong at Meta", "Meta'da bir şeyler ters gitti"),
    131005: ("The access token may not do this", "Erişim anahtarının buna yetkisi yok"),
    131008: ("A part of the message is missing", "Mesajın bir parçası eksik"),
    131009: ("A value in the message is not allowed", "Mesajdaki bir değere izin verilmiyor"),
    131016: ("Meta's service was away", "Meta'nın hizmeti çalışmıyordu"),
    131037: (
        "The number's display name is not approved yet",
        "Numaranın görünen adı henüz onaylanmadı",
    ),
    131045: ("The number is not registered rightly", "Numara doğru kaydedilmemiş"),
    131057: ("The account is being maintained by Meta", "Hesap Meta tarafından bakımda"),
    132000: (
        "The template got more or fewer values than it has places",
        "Şablona yerlerinden fazla ya da az değer verildi",
    ),
    132001: (
        "The template does not exist in this language, or is not approved",
        "Şablon bu dilde yok ya da onaylanmamış",
    ),
    132005: ("The text with its values is too long", "Metin, değerleriyle birlikte çok uzun"),
    132007: ("The template breaks Meta's policy", "Şablon Meta'nın ilkelerine aykırı"),
    132012: ("A value does not fit the template", "Bir değer şablona uymuyor"),
    132015: (
        "Meta paused the template: too many people disliked it",
        "Meta şablonu duraklattı: çok kişi beğenmedi",
    ),
    132016: (
        "Meta disabled the template: it was paused too often",
        "Meta şablonu kapattı: çok sık duraklatıldı",
    ),
    133010: ("The number is not registered with WhatsApp", "Numara WhatsApp'a kayıtlı değil"),
    130497: (
        "Messages of this kind may not go to this country",
        "Bu tür mesajlar bu ülkeye gönderilemez",
    ),
    368: (
        "Meta blocked the account for a while for breaking its policy",
        "Meta, ilke ihlali nedeniyle hesabı geçici olarak engelledi",
    ),
    190: ("The access token has expired", "Erişim anahtarının süresi doldu"),
    100: ("Meta did not understand the message", "Meta mesajı anlamadı"),
    0: ("Meta did not accept the access token", "Meta erişim anahtarını kabul etmedi"),
}
_OTHER: Final = ("Another error of Meta", "Meta'nın başka bir hatası")


def meaning(code: int, language: str) -> str:
    """What a code means; all that are not known are the same."""
    return _SAYS.get(code, _OTHER)[language == "tr"]
