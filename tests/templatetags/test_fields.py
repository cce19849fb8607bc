"""Form fields as pages show them."""

from __future__ import annotations

from django import forms
from django.template import Context, Template


def render(text: str, **context: object) -> str:
    return Template("{% load fields %}" + text).render(Context(context))


class SampleForm(forms.Form):
    name = forms.CharField(help_text="As on the door")
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")])
    is_loud = forms.BooleanField(required=False)
    grants = forms.MultipleChoiceField(choices=[("S", "Select"), ("I", "Insert")], widget=forms.CheckboxSelectMultiple)


def test_field_names_its_help_and_its_error() -> None:
    html = render("{% field form.name %}", form=SampleForm({}))
    assert 'aria-describedby="id_name-help id_name-error"' in html
    assert 'aria-invalid="true"' in html
    assert "form-label required" in html
    assert 'class="form-control is-invalid"' in html
    assert html.count("aria-describedby") == 1


def test_field_takes_the_look_of_its_kind() -> None:
    form = SampleForm()
    assert "form-select" in render("{% field form.kind %}", form=form)
    assert "form-check-input" in render("{% field form.is_loud %}", form=form)


def test_each_choice_is_an_input_beside_its_label() -> None:
    choices = render("{% field form.grants hx_get='/x' %}", form=SampleForm({"grants": ["I"]}))
    assert "<fieldset" in choices
    assert choices.count('type="checkbox"') == 2
    assert choices.count('class="form-check-input"') == 2
    assert choices.count('hx-get="/x"') == 2
    assert choices.count("checked") == 1
    assert choices.count('for="id_grants_1"') == 1
    assert choices.count("<label") == 2


def test_field_hands_attributes_on() -> None:
    html = render('{% field form.name autocomplete="off" hx_get="/x" label="Name" %}', form=SampleForm())
    assert 'autocomplete="off"' in html
    assert 'hx-get="/x"' in html
