"""Generated documents and bodies, with texts that try to break out of their quotes."""

import string

from hypothesis import strategies as st

from accessmgmt.domain.hcl.document import (
    AuthorizationSpec,
    Document,
    EndpointSpec,
    GroupSpec,
    ResourceSpec,
)
from accessmgmt.domain.hcl.writer import (
    Attribute,
    Blank,
    Block,
    Call,
    Comment,
    Items,
    Lines,
    ModuleFile,
    Object,
    Reference,
)

FRAGMENTS = [
    *("${", "%{", "$${", "%%{", "$", "%", "{", "}", '"', "\\", '\\"', "\n", "\r\n", "\t", "#", "//", "/*", "="),
    *("a", "é", "e\u0301", "数据", "\u202e", "\u200d", "\u0085", "\u2028", "\ufeff", "\x7f", "😀", "\U000e0041"),
    *("<<EOT\n", "~}", "${path.module}", "%{ if true }", "*/", "\\u0041", "\\n", " ", "[", "(", "postgres"),
]
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
texts = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join),
    st.text(characters, max_size=12),
)
names = texts.filter(bool)
optional_texts = st.one_of(st.none(), texts)


def tuples(strategy: st.SearchStrategy, max_size: int = 4) -> st.SearchStrategy:
    return st.lists(strategy, max_size=max_size).map(tuple)


def resources(text: st.SearchStrategy) -> st.SearchStrategy:
    optional = st.one_of(st.none(), text)
    return st.builds(
        ResourceSpec,
        name=text.filter(bool),
        host=text,
        port=st.integers(1, 65535),
        database_name=text,
        username=text,
        has_password=st.booleans(),
        ssl_mode=optional,
        tls_root_cert=optional,
        tls_cert_file=optional,
        tls_key_file=optional,
        use_aws_secrets=st.booleans(),
        aws_region=optional,
        aws_secret_name=optional,
        has_aws_keys=st.booleans(),
        max_connections=st.one_of(st.none(), st.integers(0, 10_000)),
        min_connections=st.one_of(st.none(), st.integers(0, 10_000)),
    )


def authorizations(text: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(
        AuthorizationSpec,
        name=text.filter(bool),
        description=st.one_of(st.none(), text),
        grants=tuples(text),
        schemas=tuples(text),
        tables=tuples(text, max_size=30),
    )


def unique(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, max_size=3, unique_by=lambda spec: spec.name).map(tuple)


@st.composite
def documents(draw: st.DrawFn, text: st.SearchStrategy = texts) -> Document:
    """Documents whose references point inside as well as outside."""
    known = draw(unique(resources(text))), draw(unique(authorizations(text)))
    resource, authorization = (
        st.sampled_from([spec.name for spec in specs]) | text if specs else text for specs in known
    )
    endpoints = draw(
        unique(
            st.builds(
                EndpointSpec,
                name=text.filter(bool),
                ttl=st.sampled_from(["8h", "90m", "7d", "1h30m", None]),
                resource=resource,
                authorization=authorization,
                is_jit_enabled=st.booleans(),
                jit_approvers=tuples(text),
            )
        )
    )
    endpoint = st.sampled_from([spec.name for spec in endpoints]) | text if endpoints else text
    groups = unique(st.builds(GroupSpec, name=text.filter(bool), members=tuples(text), endpoints=tuples(endpoint)))
    return Document(resources=known[0], authorizations=known[1], endpoints=endpoints, groups=draw(groups))


identifiers = st.text(string.ascii_lowercase, min_size=1, max_size=9).map(lambda name: f"x_{name}")
leaves = st.one_of(
    texts,
    st.integers(),
    st.booleans(),
    st.builds(Reference, identifiers),
    st.builds(ModuleFile, identifiers),
    st.builds(Items, tuples(texts | st.integers(), max_size=30)),
    st.builds(Lines, tuples(texts | st.builds(Comment, texts))),
)


def attributes(value: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(st.builds(Attribute, identifiers, value), max_size=5, unique_by=lambda each: each.name)


values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Object, attributes(inner).map(tuple)),
        st.builds(Call, identifiers, inner),
        st.builds(Lines, tuples(inner)),
        st.builds(Items, tuples(inner)),
    ),
    max_leaves=8,
)
plain_elements = st.builds(Attribute, identifiers, values) | st.builds(Comment, texts) | st.just(Blank())
nested_elements = st.recursive(
    st.lists(plain_elements, max_size=6),
    lambda inner: st.lists(
        plain_elements | st.builds(Block, identifiers, st.lists(identifiers, max_size=2).map(tuple), inner.map(tuple)),
        max_size=4,
    ),
    max_leaves=4,
)


@st.composite
def bodies(draw: st.DrawFn) -> list:
    """Bodies of blocks within blocks; as a function, so that nobody writes the whole strategy out to name it."""
    return draw(nested_elements)
