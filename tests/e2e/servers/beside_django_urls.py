"""The addresses of a project without any."""

urlpatterns: list[object] = []
