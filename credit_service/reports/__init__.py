"""Credit reports 信用报告: an entity's whole file as its reader may see it, in the official sections, signed."""
