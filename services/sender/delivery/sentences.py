"""What a gate says, in words for people: English and Turkish. Pure."""

from typing import Final

from services.sender.gates import GateVerdict, Verdict

TURKISH: Final = "tr"
HOLD_OUT: Final = "hold_out"
"""Whom a campaign leaves out, to measure what it adds; decided when it is planned."""

TIER: Final = "tier"
"""How many people Meta lets a portfolio write to in a day; a limiter counts them."""

_SAYS: Final[dict[str, tuple[str, str]]] = {
    "campaign": (
        "The campaign does not send; a message of it never will.",
        "Kampanya gönderim yapmıyor; bu mesaj hiç gönderilmeyecek.",
    ),
    "campaign.paused": (
        "The campaign is paused; resume it.",
        "Kampanya duraklatıldı; sürdürün.",
    ),
    HOLD_OUT: (
        "The campaign leaves this person out, to measure what it adds.",
        "Kampanya, katkısını ölçmek için bu kişiyi dışarıda bırakıyor.",
    ),
    "variables": (
        "A variable of the template has no value for this person, and the binding says to skip it.",
        "Şablonun bir değişkeninin bu kişi için değeri yok; böyle kişiler atlanıyor.",
    ),
    "template": (
        "Meta does not let this template be sent.",
        "Meta bu şablonun gönderilmesine izin vermiyor.",
    ),
    "template.template_unknown": (
        "The template is not known in this language; sync the account's templates.",
        "Şablon bu dilde bilinmiyor; hesabın şablonlarını eşitleyin.",
    ),
    "template.template_edited": (
        "The template was edited since this message was planned, and its values do not fit now.",
        "Şablon, mesaj planlandıktan sonra değiştirildi; değerler artık uymuyor.",
    ),
    "address.contact_unknown": (
        "Profile knows no such person.",
        "Böyle bir kişi bilinmiyor.",
    ),
    "address.no_address": (
        "No WhatsApp account of this person is known.",
        "Bu kişinin bilinen bir WhatsApp hesabı yok.",
    ),
    "address.unreachable": (
        "Meta lately said that nothing can be delivered to this person.",
        "Meta kısa süre önce bu kişiye hiçbir şey iletilemediğini bildirdi.",
    ),
    "person.merged": (
        "The person is known by another id now; whether they had this message is looked up.",
        "Kişi artık başka bir kimlikle biliniyor; bu mesajı alıp almadığına bakılıyor.",
    ),
    "consent": (
        "The person has not agreed to messages of this purpose.",
        "Kişi bu amaçla mesaj almaya onay vermedi.",
    ),
    "consent.withdrawn": (
        "The person does not want messages of this purpose any more.",
        "Kişi artık bu amaçla mesaj almak istemiyor.",
    ),
    "consent.expired": (
        "What the person agreed to has ended.",
        "Kişinin verdiği onayın süresi doldu.",
    ),
    "consent.opted_out": (
        "The person stopped offers in WhatsApp.",
        "Kişi WhatsApp'ta kampanya mesajlarını durdurdu.",
    ),
    "consent.restricted": (
        "Processing of this person's data is restricted.",
        "Bu kişinin verilerinin işlenmesi kısıtlanmış.",
    ),
    "window.window_closed": (
        "More than 24 hours since the person last wrote to this number: send a template.",
        "Kişinin bu numaraya son yazmasından bu yana 24 saatten fazla geçti: şablon gönderin.",
    ),
    "complaint.complaint_open": (
        "The person waits for an answer to a complaint; close it first.",
        "Kişi bir şikâyetine yanıt bekliyor; önce onu kapatın.",
    ),
    "saturation.saturated": (
        "Meta lately withheld a marketing message to this person as one too many.",
        "Meta kısa süre önce bu kişiye giden bir pazarlama mesajını fazla bulup göndermedi.",
    ),
    "frequency_cap.cap_reached": (
        "The person had as many messages as the policy allows in this time.",
        "Kişi bu sürede politikanın izin verdiği kadar mesaj aldı.",
    ),
    "quiet_hours.quiet": (
        "It is a quiet hour where the person is.",
        "Kişinin bulunduğu yerde sessiz saatler.",
    ),
    "global_control.global_control": (
        "The person is of the control group, which gets no marketing, so that its worth is known.",
        "Kişi, pazarlamanın değeri ölçülsün diye pazarlama almayan kontrol grubunda.",
    ),
    "deadline.too_late": (
        "Its last moment has passed, or would before the wait is over.",
        "Son gönderim anı geçti ya da bekleme bitmeden geçecek.",
    ),
    "budget.budget_spent": (
        "What is left of the campaign's budget does not pay for it; raise the budget.",
        "Kampanya bütçesinden kalan buna yetmiyor; bütçeyi artırın.",
    ),
    "budget.price_unknown": (
        "No rate card says what it costs, so nobody can tell whether the budget allows it.",
        "Fiyatını söyleyen bir tarife yok; bütçenin yetip yetmediği bilinemiyor.",
    ),
    "budget.budget_currency": (
        "The budget is in another currency than the rate card.",
        "Bütçenin para birimi tarifeninkinden farklı.",
    ),
    "number": (
        "The business number is paused; see why, and resume it.",
        "İşletme numarası duraklatılmış; nedenine bakıp sürdürün.",
    ),
    "number.restricted": (
        "Meta restricts the business number; settle it in WhatsApp Manager.",
        "Meta işletme numarasını kısıtladı; WhatsApp Yöneticisi'nde çözün.",
    ),
    "number.quality_red": (
        "Meta rates the quality of the business number as low; people block or report it.",
        "Meta işletme numarasının kalitesini düşük buluyor; kişiler engelliyor ya da bildiriyor.",
    ),
    TIER: (
        "As many people as Meta allows in 24 hours were written to first; it waits for its turn.",
        "Meta'nın 24 saatte izin verdiği kadar kişiye yazıldı; mesaj sırasını bekliyor.",
    ),
    "limiter_pair": (
        "Another message to this person left a moment ago; Meta wants 6 seconds between them.",
        "Bu kişiye az önce başka bir mesaj gitti; Meta araya 6 saniye konmasını istiyor.",
    ),
}


def explanation(verdict: GateVerdict, language: str) -> str:
    """Why a message does not pass, and what to do; empty when it passes. Languages other than
    Turkish (BCP 47) get English."""
    if verdict.verdict in {Verdict.PASS, Verdict.SKIPPED}:
        return ""
    said = _SAYS.get(f"{verdict.gate}.{verdict.reason}") or _SAYS[verdict.gate]
    return said[language.split("-", maxsplit=1)[0].lower() == TURKISH]
