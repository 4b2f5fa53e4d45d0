"""A statement's content, and the words that several kinds of statement share."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from schemas.items import Code, Kind

CONTEXT = "https://w3id.org/meguri/contexts/v1"

MOST_PARTS = 2000
"""The most items that one lot or product names as its parts."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a word means, in English and in Japanese; it stands beside the field that the word names."""

    en: str
    ja: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"description": self.en}


class Claim(BaseModel):
    """A statement's content; the class name is the credential's type, its docstring what that means."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    ja: ClassVar[str] = ""

    def __init_subclass__(cls, *, ja: str = "", **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.ja = ja


ITEM = Means("The code of the item at hand.", "対象となる品目のコード。")
ItemCode = Annotated[Code, Field(title="Item code"), ITEM]
ItemKind = Annotated[
    Kind,
    Field(title="Kind of item"),
    Means(
        "Whether it is a vehicle, pack, module, cell, lot, product or material.",
        "車両、パック、モジュール、セル、ロット、製品、素材のいずれか。",
    ),
]
CompanyDid = Annotated[
    str,
    Field(title="Company DID"),
    Means("The decentralized identifier of the company at hand.", "対象となる会社の分散型識別子（DID）。"),
]
CompanyName = Annotated[
    str, Field(title="Company name"), Means("What the company is called.", "会社の名称。")
]
Roles = Annotated[
    tuple[str, ...],
    Field(title="Roles"),
    Means(
        "The roles of the framework that a company is admitted in.",
        "会社に認められた、フレームワーク上の役割。",
    ),
]
VersionNumber = Annotated[
    int,
    Means(
        "A number that grows with each new edition; the greater takes the place of the smaller.",
        "改めるたびに増える番号。大きいものが小さいものに代わる。",
    ),
]
Findings = Annotated[
    tuple[str, ...],
    Field(title="Safety findings"),
    Means(
        "What was seen that bears on safety: wet, leak, heat, swelling, accident.",
        "目視で認めた安全上の所見。濡れ、漏れ、発熱、膨れ、事故。",
    ),
]
Evidence = Annotated[
    tuple[str, ...],
    Field(title="Digests of the evidence"),
    Means("SHA-256 digests of the files that show it.", "裏づけとなるファイルのSHA-256ダイジェスト。"),
]
Method = Annotated[
    str, Field(title="Method"), Means("The name of the method of calculation.", "計算の方法の名称。")
]
MethodVersion = Annotated[
    str, Field(title="Method version"), Means("The version of that method.", "その方法の版。")
]
CodeDigest = Annotated[
    str,
    Field(title="Code digest"),
    Means("The digest of the code that made the figure.", "値を求めた計算コードのダイジェスト。"),
]
InputsDigest = Annotated[
    str,
    Field(title="Inputs digest"),
    Means("The digest of everything the method was given.", "方法に与えた入力全体のダイジェスト。"),
]
CellModel = Annotated[
    str,
    Field(max_length=80, title="Cell model"),
    Means("The maker's name for this kind of cell.", "セルの型式。"),
]
ModelDigest = Annotated[
    str,
    Field(title="Model digest"),
    Means("The digest of the trained model that gave the figure.", "値を求めた学習済みモデルの要約値。"),
]
ModelSource = Annotated[
    str,
    Field(max_length=400, title="What the model was trained on"),
    Means("Which cells the model was trained on, in words.", "モデルの学習に使ったセルの説明。"),
]
Subject = Annotated[
    str,
    Field(title="Subject"),
    Means(
        "A salted digest that stands for what the forecast is about.",
        "予測の対象を表す、ソルトを加えたダイジェスト。",
    ),
]
Emissions = Annotated[
    Decimal,
    Field(title="Emissions (kg CO₂e)"),
    Means("Greenhouse gases as carbon dioxide equivalent.", "温室効果ガスの量（二酸化炭素換算）。"),
]
Standard = Annotated[
    str,
    Field(min_length=1, max_length=120, title="Standard"),
    Means("The standard that it was done by, with its edition.", "よりどころとした規格と、その版。"),
]
Remarks = Annotated[
    str,
    Field(max_length=1000, title="Remarks"),
    Means("What else there is to say.", "そのほかの説明。"),
]
