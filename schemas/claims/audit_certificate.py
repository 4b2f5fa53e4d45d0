"""Audit certificate: a prediction that came out again."""

from datetime import date
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, CodeDigest, CompanyDid, InputsDigest, Means, Method, MethodVersion


class AuditCertificate(Claim, ja="オーソリティが予測を入力から計算し直し、そのとおりであることを確かめた。"):
    """The authority recomputed a prediction from its inputs and found that it holds."""

    did: CompanyDid
    prediction_digest: Annotated[
        str, Means("The digest of the prediction's credential.", "予測の証明書のダイジェスト。")
    ] = Field(title="Prediction digest")
    method: Method
    method_version: MethodVersion
    code_digest: CodeDigest = ""
    inputs_digest: InputsDigest = ""
    observations_count: Annotated[
        int,
        Means(
            "On how many sealed check-ups the prediction rests.", "予測のもとになった、封印済みの検査の数。"
        ),
    ] = Field(default=0, title="Sealed check-ups it rests on")
    tolerance: Annotated[
        str,
        Means("How far a figure might have lain from the one stated.", "表明値との差として許した大きさ。"),
    ] = Field(title="Tolerance")
    max_deviation: Annotated[
        str, Means("How far any figure lay from the one stated.", "表明値との差の最大。")
    ] = Field(title="Max deviation")
    audited_on: Annotated[date, Means("The day of the audit.", "監査した日。")] = Field(title="Audited on")
