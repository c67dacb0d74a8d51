"""Somebody at a browser: what they click, write and see."""

from __future__ import annotations

from collections.abc import Callable

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
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

        def clicked() -> bool:
            found = [one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]
            wanted = [one for one in found if text in one.text]
            if wanted:
                wanted[0].click()
            return bool(wanted)

        self.wait(clicked)
        self.clicks += 1

    def choose(self, selector: str, value: str) -> None:
        """Chooses from a list: a click that opens it, and one that chooses."""
        Select(self.one(selector)).select_by_value(value)
        self.clicks += 2

    def write(self, selector: str, text: str) -> None:
        """Clicks into a field, and writes."""
        self.click(selector)
        self.driver.switch_to.active_element.send_keys(text)

    def beside(self, path: str, text: str) -> tuple[WebElement, WebElement]:
        """Opens a list, and beside it the object of the first row with a text; the link that was clicked, the panel."""
        self.open(path)
        row = self.driver.find_element(By.XPATH, f"//td/a[contains(., '{text}')]")
        row.click()
        self.clicks += 1
        return row, self.one("#side")

    def text(self) -> str:
        return str(self.driver.execute_script("return document.querySelector('main')?.innerText ?? ''"))

    def sees(self, *texts: str) -> None:
        self.wait(lambda: all(text in self.text() for text in texts))

    def shows(self, selector: str, text: str) -> None:
        """Waits until an element of the page that is being opened has a text."""
        self.wait(lambda: text in self.one(selector).text)

    def wait(self, condition: Callable[[], object]) -> None:
        """Waits until something is so; a page that changes meanwhile, or is being opened, is looked at again."""

        def met() -> bool:
            try:
                return bool(condition())
            except (NoSuchElementException, StaleElementReferenceException):
                return False

        until(met, 60, self.text)
