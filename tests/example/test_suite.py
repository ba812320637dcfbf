"""The example's own tests: they need its settings, so they run in a process of their own."""

from tests.example.project import Project


def test_shop_passes_its_tests(project: Project) -> None:
    run = project.manage("test", "shop", "--shuffle")

    assert run.returncode == 0, run.stderr
    assert "\nOK" in run.stderr


def test_models_have_their_migrations(project: Project) -> None:
    run = project.manage("makemigrations", "--check", "--dry-run", "shop")

    assert run.returncode == 0, run.stdout
