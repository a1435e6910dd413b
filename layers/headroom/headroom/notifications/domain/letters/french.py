"""Letters in French."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headroom.notifications.domain.letters.language import Wording

_MONTHS: Final = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
]
_NARROW_SPACE: Final = "\u202f"
_HARD_SPACE: Final = "\u00a0"


class French:
    """French. A hard space stands before a colon and a percent sign."""

    code = "fr"
    greeting = "Bonjour {recipient},"
    link = "Ouvrir les réglages d’utilisation"
    footer = (
        "Vous recevez ce message en raison de votre rôle dans {organization}. "
        "Les propriétaires choisissent ce qui est envoyé."
    )
    periods: Mapping[str, str] = {
        "monthly": "mensuelle",
        "weekly": "hebdomadaire",
        "daily": "quotidienne",
    }
    roles: Mapping[str, str] = {"admin": "Administrateur", "owner": "Propriétaire"}
    wordings: Mapping[str, Wording] = {
        "role_raised": Wording(
            "{member} a un nouveau rôle chez {organization}\u00a0: {role}",
            (
                "{by} a donné à {member} un rôle avec plus de droits chez {organization}\u00a0: "
                "{role}.",
                "Si ce n’est pas voulu, retirez ce rôle et passez en revue les clés d’API.",
                "Ce message va à chaque propriétaire et ne peut pas être désactivé.",
            ),
        ),
        "organization_limit_near": Wording(
            "{organization} a utilisé {percent}\u00a0% de sa limite de dépenses",
            (
                "{organization} a dépensé {spent} en utilisation supplémentaire, sur une limite "
                "{limit_period} de {limit}.",
                "À 100\u00a0%, les nouvelles demandes sont refusées jusqu’à ce que la limite soit "
                "relevée ou que la période se termine.",
            ),
        ),
        "organization_limit_reached": Wording(
            "{organization} a atteint sa limite de dépenses",
            (
                "{organization} a dépensé {spent}, soit toute sa limite {limit_period} de {limit}.",
                "L’utilisation supplémentaire est refusée jusqu’à ce que la limite soit relevée ou "
                "que la période se termine.",
            ),
        ),
        "own_limit_near": Wording(
            "Vous avez utilisé {percent}\u00a0% de votre limite de dépenses",
            (
                "Vous avez dépensé {spent} en utilisation supplémentaire chez {organization}, sur "
                "une limite {limit_period} de {limit}.",
                "À 100\u00a0%, votre utilisation supplémentaire s’arrête jusqu’à ce que la limite "
                "soit relevée ou que la période se termine.",
            ),
        ),
        "own_limit_reached": Wording(
            "Vous avez atteint votre limite de dépenses",
            (
                "Vous avez dépensé {spent}, soit toute votre limite {limit_period} de {limit} chez "
                "{organization}.",
                "Votre utilisation supplémentaire s’arrête jusqu’à ce que la limite soit relevée "
                "ou que la période se termine.",
            ),
        ),
        "requests_outstanding": Wording(
            "Demandes d’utilisation supplémentaire en attente\u00a0: {pending}",
            (
                "Demandes de limite plus élevée qui attendent une réponse chez "
                "{organization}\u00a0: {pending}.",
                "De la part de\u00a0: {requesters}.",
                "Un propriétaire ou un administrateur peut les approuver ou les refuser.",
            ),
        ),
        "request_approved": Wording(
            "Votre demande de limite plus élevée a été approuvée",
            (
                "Votre limite de dépenses {limit_period} chez {organization} est maintenant de "
                "{limit}.",
            ),
        ),
        "request_denied": Wording(
            "Votre demande de limite plus élevée a été refusée",
            ("Votre limite de dépenses chez {organization} ne change pas.",),
        ),
        "wallet_low": Wording(
            "Le solde de {organization} est bas",
            (
                "Le portefeuille de {organization} contient {balance}.",
                "Quand il sera vide, l’utilisation supplémentaire s’arrêtera.",
                "Aucune recharge ne viendra d’elle-même pour l’instant. Ajoutez de l’argent.",
            ),
        ),
        "wallet_empty": Wording(
            "Le portefeuille de {organization} est vide",
            (
                "Il ne reste rien dans le portefeuille de {organization}, et l’utilisation "
                "supplémentaire s’est arrêtée.",
                "Aucune recharge ne viendra d’elle-même pour l’instant. Ajoutez de l’argent.",
            ),
        ),
        "wallet_short": Wording(
            "Le solde de {organization} ne suffit pas pour une demande",
            (
                "Une demande a été refusée car elle dépasse ce qui est libre dans le portefeuille "
                "de {organization}\u00a0: {free} sur {balance}\u00a0; le reste est retenu pour "
                "des demandes en cours.",
                "Aucune recharge ne viendra d’elle-même pour l’instant. Ajoutez de l’argent.",
            ),
        ),
        "reload_failed": Wording(
            "Le portefeuille de {organization} n’a pas pu être rechargé",
            (
                "Une recharge de {charge} a été refusée.",
                "La raison donnée\u00a0: {reason}.",
                "Aucune autre recharge n’est tentée tant que le moyen de paiement ne change pas.",
            ),
        ),
        "reload_needs_action": Wording(
            "Un paiement pour {organization} vous attend",
            (
                "La banque demande au titulaire de la carte de confirmer une recharge de {charge}.",
                "D’ici là, le portefeuille n’est pas rechargé. Confirmez le paiement dans les "
                "réglages.",
            ),
        ),
        "credit_expiring": Wording(
            "Un crédit de {organization} expire bientôt",
            (
                "{remaining} de crédit dans le portefeuille de {organization} expirent le "
                "{expires}.",
                "Ce qui est utilisé avant compte\u00a0; ce qui reste alors est perdu.",
            ),
        ),
        "money_disputed": Wording(
            "Un paiement de {organization} a été contesté",
            (
                "Le titulaire de la carte a contesté un paiement auprès de sa banque, qui a repris "
                "{charge}.",
                "Il s’agit du paiement de {paid} du {paid_on}.",
                "Cet argent a quitté le portefeuille de {organization}. Ce qui en était déjà "
                "dépensé est dû, et l’utilisation supplémentaire s’arrête jusqu’à son paiement.",
                "Cette carte n’est plus débitée pour des recharges tant que la contestation n’est "
                "pas gagnée ou la carte changée.",
            ),
        ),
        "money_refunded": Wording(
            "Un paiement de {organization} a été remboursé",
            (
                "D’un paiement, {charge} sont revenus sur la carte.",
                "Il s’agit du paiement de {paid} du {paid_on}.",
                "Cet argent a quitté le portefeuille de {organization}. Ce qui en était déjà "
                "dépensé est dû, et l’utilisation supplémentaire s’arrête jusqu’à son paiement.",
            ),
        ),
        "invoice_ready": Wording(
            "Votre facture est prête, {organization}",
            (
                "La facture {number} pour {period} est prête.",
                "Son total\u00a0: {total}.",
                "Elle est à payer au plus tard le {due}.",
            ),
        ),
        "statement_ready": Wording(
            "Votre relevé est prêt, {organization}",
            (
                "Le relevé {number} pour {period} est prêt.",
                "L’utilisation supplémentaire de {total} a été payée par le portefeuille\u00a0; "
                "rien n’est dû.",
            ),
        ),
        "credit_note_ready": Wording(
            "Un avoir pour {organization}",
            (
                "L’avoir {number} sur la facture {credited} est prêt.",
                "Son total\u00a0: {total}.",
            ),
        ),
        "invoice_past_due": Wording(
            "Une facture de {organization} est en retard de paiement",
            (
                "La facture {number} pour {period} n’a pas été payée.",
                "Reste à payer\u00a0: {owed}.",
                "Elle était à payer au plus tard le {due}.",
                "Si elle reste impayée, l’utilisation supplémentaire s’arrête.",
            ),
        ),
        "webhook_disabled": Wording(
            "Un point de terminaison webhook de {organization} a été désactivé",
            (
                "Headroom n’envoie plus d’événements à {url}\u00a0: aucun n’y a été accepté depuis "
                "des jours.",
                "Réparez-le puis réactivez-le\u00a0; les événements échoués peuvent être renvoyés.",
            ),
        ),
    }

    def money(self, cents: int, currency: str) -> str:
        units, rest = divmod(abs(cents), 100)
        sign = "-" if cents < 0 else ""
        figures = f"{units:,}".replace(",", _NARROW_SPACE) + f",{rest:02d}"
        symbol = "$\u00a0US" if currency == "USD" else currency
        return f"{sign}{figures}{_HARD_SPACE}{symbol}"

    def date(self, year: int, month: int, day: int) -> str:
        return f"{'1er' if day == 1 else day} {_MONTHS[month - 1]} {year}"

    def month(self, year: int, month: int) -> str:
        return f"{_MONTHS[month - 1]} {year}"
