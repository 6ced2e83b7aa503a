"""What documents and charts speak of."""

ITEMS = (
    "Coffee Tea Bread Milk Apples Butter Cheese Rice Soup Pasta Juice Eggs Sugar Salad Pizza Cake Water Honey Bananas "
    "Carrots Onions Yogurt Flour Beans Tomatoes Lemons Cookies Pepper Salt Oil"
).split()
NAMES = (
    "Anna Ben Carla David Emma Frank Grace Henry Ida Jack Kate Liam Maria Noah Olga Paul Rosa Sam Tina Victor Alice "
    "Bruno Clara Daniel Eva Felix Hanna Jonas Laura Martin Nina Oscar"
).split()
CITIES = (
    "Paris Berlin Madrid Rome Oslo Vienna Lisbon Dublin Prague Athens London Warsaw Zurich Milan Porto Bergen".split()
)
SHOPS = ["Shop", "Market", "Cafe", "Bakery", "Diner", "Store", "Deli", "Kiosk"]
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
COLUMNS = "Age Score Height Points Rank Wins Goals Weight Level Price".split()
CHART_TITLES = "Sales Visitors Revenue Output Votes Rainfall Orders Members Exports Births Profit Traffic".split()
FORM_TITLES = ["Invoice", "Registration", "Order Form", "Application", "Booking", "Membership"]
