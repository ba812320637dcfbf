"""The strictest policy that pages of the admin can have, on every answer of the tests."""

POLICY = "default-src 'self'"


def strict_policy(get_response):
    """Say that a page may load nothing but files of its own site, and run nothing inline."""

    def middleware(request):
        response = get_response(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return middleware
