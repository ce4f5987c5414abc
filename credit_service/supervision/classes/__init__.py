"""Credit-risk classes A to D 信用风险分类 (国市监信发〔2022〕6号): for supervision only, never shown to the public."""
