"""Open extensions: what applications have attached to users, groups and others, apart from the object itself."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Read, Restore


def open_extensions(owner: str, singular: str, category: Category, *permissions: str) -> ObjectType:
    """The entry for the open extensions of a type; no delta query tells them (Graph doc: delta-query-overview).

    Args:
        owner: Name of the type that has them.
        singular: One of it, as in the name of a relation.
        category: That of the owner.
        permissions: Application permissions that allow reading, least privileged first.
    """
    return ObjectType(
        name=f"{singular}_extensions",
        category=category,
        title=f"Open extension of {'an' if singular[0] in 'aeiou' else 'a'} {singular.replace('_', ' ')}",
        irregular_plural=f"Open extensions of {singular.replace('_', ' ')}s",
        path="",
        model="open_type_extension",
        permissions=(*permissions, "Directory.Read.All"),
        restore=Restore(
            how=f"POST to extensions of the {singular.replace('_', ' ')}, PATCH",
            permissions=(permissions[0].replace(".Read.", ".ReadWrite."),),
            create_only=frozenset({"extensionName"}),
            required=("@odata.type", "extensionName"),
        ),
        parent=Parent(owner, "extensions", Read.EXPAND),
        identity=("extensionName",),
        # Its id is its name, and every owner may have one of that name.
        local_ids=True,
    )
