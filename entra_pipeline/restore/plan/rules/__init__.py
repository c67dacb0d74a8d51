"""Turn differences into drafts of steps, or into refusals with a reason and a remedy.

1. `drafts` holds what the rules have in common: the drafts so far, the refusals, the options, what is coming back.
2. `objects` decides by the state of each object (there, in the recycle bin, missing, added), by the conflict mode and
   by the catalogue's rules of its type. Objects go in the order in which their tables come back.
3. `builder` writes the draft: properties to send, guards, and steps of their own for what refers to later objects.
4. `links` does the same for the links of each owner; what a deleted object takes with it needs no step.
5. `expired` refuses assignments and other objects that have expired meanwhile, unless they are reinstated for a time.
6. `preconditions` refuses drafts that Graph would refuse for a domain that is not verified, or a text that is not
   allowed. `taken` settles names in use (`holders` finds who has them): which drafts give them up, and what is planned
   for an object that does not get its own.
7. `pim` and `extensions` look at the resolved drafts. They drop what would give more access than before, or what the
   tenant does not take. `taken` settles again what relied on a dropped draft.
8. `seats` refuses licences without a free seat.
9. `names` comes last: what gives up a name or a seat goes before the draft that needs it.
"""
