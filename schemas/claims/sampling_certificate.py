"""Sampling certificate: how much of what a member predicted over a period was audited, and held."""

from datetime import date
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, CompanyDid, Means


class SamplingCertificate(
    Claim, ja="ある期間に表明された予測のうち、くじで引いたものをオーソリティが計算し直し、すべて確かめた。"
):
    """Of the predictions of a period, those that were drawn were made again, and all of them held."""

    did: CompanyDid
    first_day: Annotated[date, Means("The first day of the period.", "期間の最初の日。")] = Field(
        title="First day"
    )
    last_day: Annotated[date, Means("The last day of the period.", "期間の最後の日。")] = Field(
        title="Last day"
    )
    declared_count: Annotated[
        int,
        Means(
            "How many predictions of the period the member declared.", "会員が申告した、その期間の予測の数。"
        ),
    ] = Field(title="Predictions declared")
    withdrawn_count: Annotated[
        int,
        Means(
            "How many of them were no longer in force, and so not drawn.",
            "そのうち、すでに効力がなく、くじの対象としなかった数。",
        ),
    ] = Field(title="No longer in force, not drawn")
    passed_count: Annotated[
        int,
        Means(
            "How many of them were drawn and made again; all of them held.",
            "そのうち、くじで引かれて計算し直された数。すべて確かめられた。",
        ),
    ] = Field(title="Drawn, made again and held")
    declaration_digest: Annotated[
        str,
        Means(
            "The digest of the sorted digests of all that was declared.",
            "申告された予測のダイジェストを整列したもの全体のダイジェスト。",
        ),
    ] = Field(title="Digest of the declaration")
    sampled_digests: Annotated[
        tuple[str, ...],
        Means(
            "The digests of the predictions' credentials that were made again.",
            "計算し直された予測の証明書のダイジェスト。",
        ),
    ] = Field(title="Predictions that were made again")
    audited_on: Annotated[date, Means("The day of the audit.", "監査した日。")] = Field(title="Audited on")
