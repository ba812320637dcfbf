"""The pages of the shop."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.index, name="index"),
    path("orders/", views.place_order, name="place-order"),
    path("files/", views.upload_orders, name="upload-orders"),
]
