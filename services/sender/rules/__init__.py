"""What the business allows itself and what Meta charges: rules, and how they are counted. Pure."""
