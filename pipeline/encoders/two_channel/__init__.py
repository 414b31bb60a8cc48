"""The two-channel network (Mahdisoltani et al., 2018): actions and captions of short clips, trained from pixels."""
