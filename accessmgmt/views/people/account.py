"""Log in, log out, and one's own profile."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import InvalidError
from accessmgmt.forms.base import add_invalid
from accessmgmt.forms.people.account import TOO_MANY, LogInForm, OwnPasswordForm, ProfileForm
from accessmgmt.models import User
from accessmgmt.services.audit import trail
from accessmgmt.services.people.users import change_password, change_profile
from accessmgmt.views.callers import caller_of, remember_browser
from accessmgmt.views.permissions import UserRequest

LONGEST_NEXT = 2_000


class VisitorRequest(HttpRequest):
    """A request of somebody who may not be signed in."""

    htmx: HtmxDetails


@login_not_required
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: VisitorRequest) -> HttpResponse:
    """Let a person in, and on to the page that they came for."""
    if request.htmx:
        return _whole_page_log_in(request)
    after = _safe_next(request)
    if request.user.is_authenticated:
        return redirect(after)
    caller = caller_of(request)
    form = LogInForm(request, data=request.POST if request.method == "POST" else None, caller=caller)
    if form.is_valid():
        login(request, form.get_user())
        response = redirect(after)
        remember_browser(response, form.get_user(), caller)
        return response
    status = 429 if form.has_error(NON_FIELD_ERRORS, TOO_MANY) else 422 if form.is_bound else 200
    return render(request, "people/account/log_in.html", {"form": form, "next": after}, status=status)


def _whole_page_log_in(request: VisitorRequest) -> HttpResponse:
    """A session that ended while a fragment was asked for: send the whole page to the sign-in."""
    try:
        here = request.htmx.current_url_abs_path or ""
    except ValueError:  # what the header says is no URL
        here = ""
    after = here if _is_path(here) else reverse("accessmgmt:my-access")
    return HttpResponseClientRedirect(f"{reverse('accessmgmt:login')}?{urlencode({'next': after})}")


def _safe_next(request: HttpRequest) -> str:
    """Return the path to go to after the sign-in: home for anything that is no path of this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if _is_path(wanted) else reverse("accessmgmt:my-access")


def _is_path(text: str) -> bool:
    """Say whether a text is a path on this site, and of a length that servers take in a header."""
    is_short = text.startswith("/") and len(iri_to_uri(text)) <= LONGEST_NEXT
    return is_short and url_has_allowed_host_and_scheme(text, allowed_hosts=None)


@login_not_required
@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    if isinstance(request.user, User):
        trail.record(request.user, Action.USER_LOGGED_OUT, request.user)
    logout(request)
    return redirect("accessmgmt:login")


@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: UserRequest) -> HttpResponse:
    """Change one's own name, time zone or password: two forms on one page, told apart by the button's name."""
    user = request.user
    is_password = request.method == "POST" and "change_password" in request.POST
    is_profile = request.method == "POST" and not is_password
    form = ProfileForm(
        request.POST if is_profile else None, user=user, initial={"name": user.name, "time_zone": user.time_zone}
    )
    password_form = OwnPasswordForm(user, request.POST if is_password else None, caller=caller_of(request))
    if is_profile and _save_profile(request, form):
        messages.success(request, "Your profile is saved.")
        return redirect("accessmgmt:profile")
    if is_password and password_form.is_valid():
        user = change_password(actor=user, password=password_form.cleaned_data["new_password1"])
        update_session_auth_hash(request, user)
        messages.success(request, "Your password is changed. Other browsers are logged out.")
        return redirect("accessmgmt:profile")
    user.refresh_from_db()
    context = {"form": form, "password_form": password_form}
    is_too_many = is_password and password_form.has_error("old_password", TOO_MANY)
    status = 429 if is_too_many else 422 if request.method == "POST" else 200
    return render(request, "people/account/profile.html", context, status=status)


def _save_profile(request: UserRequest, form: ProfileForm) -> bool:
    if not form.is_valid():
        return False
    try:
        change_profile(actor=request.user, **form.cleaned_data)
    except InvalidError as error:
        add_invalid(form, error)
        return False
    return True
