"""Somebody at a browser: what they click, write and see."""

from __future__ import annotations

from collections.abc import Callable

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from tests.console.two_points import Served, until


class Person:
    """Somebody at a browser, whose clicks are counted.

    Attributes:
        clicks: Clicks so far, choices in a list included.
    """

    def __init__(self, driver: webdriver.Chrome, served: Served, role: Role = Role.administrator) -> None:
        token, _ = served.site.sessions.begin(User("ada@contoso.com", role, "Ada"))
        self.driver = driver
        self.url = served.url
        self.clicks = 0
        driver.get(served.url + "/sign-in")
        driver.add_cookie({"name": "entra-session", "value": token})

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str, text: str = "") -> None:
        """Clicks the first element that is seen, and has a text."""
        self.wait(lambda: self._seen(selector, text))
        self._seen(selector, text)[0].click()
        self.clicks += 1

    def choose(self, selector: str, value: str) -> None:
        """Chooses from a list: a click that opens it, and one that chooses."""
        Select(self.one(selector)).select_by_value(value)
        self.clicks += 2

    def write(self, selector: str, text: str) -> None:
        """Clicks into a field, and writes."""
        self.click(selector)
        self.driver.switch_to.active_element.send_keys(text)

    def text(self) -> str:
        return self.one("main").text

    def sees(self, *texts: str) -> None:
        self.wait(lambda: all(text in self.text() for text in texts))

    def wait(self, condition: Callable[[], object]) -> None:
        until(condition, 60, self.text)

    def _seen(self, selector: str, text: str) -> list[WebElement]:
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [one for one in found if one.is_displayed() and text in one.text]
