"""Other systems' objects at our door: `legacy` brings over what SimpleML 0.14 saved."""
